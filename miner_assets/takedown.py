"""Takedown: a video and all that was made from it disappears, and it is never mined again.

What is to be done is written down first, then done step by step. Every step can be repeated, so a takedown that was
interrupted is finished by the next one. Tombstones come first: from then on no run brings the video back.
"""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from miner_assets import dagster_history
from miner_assets.dataset_versions import DatasetVersions
from miner_assets.instance import open_instance
from miner_assets.partitions import VIDEOS, drop_partitions
from miner_assets.takedown_plan import Removal, artifacts_of, plan_removal, save_plan, unfinished
from miner_assets.traces import REMOVED, Marks, find_traces
from miner_assets.workspace import Workspace
from miner_resources.config_files import PROJECT_FILE
from miner_resources.errors import MinerError, NotFound
from miner_resources.locks import file_lock
from miner_resources.video_source import utc_now

Rebuild = Callable[[Workspace], None]


@dataclass
class TakedownReport:
    """What was done.

    Attributes:
        versions: version of the dataset → the one in its place, None where nothing was left of it.
        problem: why the dataset could not be made again, if so; what held the videos was deleted all the same.
        left: files that still name a video: none, unless another program put them there.
        history_elsewhere: whether Dagster keeps its history in another database, whose events stay.
    """

    removal: Removal
    versions: dict[str, str | None] = field(default_factory=dict[str, str | None])
    problem: MinerError | None = None
    left: list[str] = field(default_factory=list[str])
    history_elsewhere: bool = False


def remove_videos(
    workspace: Workspace,
    video_ids: Sequence[str],
    *,
    reason: str | None = None,
    rebuild: Rebuild | None = None,
    verify: bool = True,
) -> TakedownReport:
    """Delete videos, everything made from them and every mention of them; leave tombstones and a line in the log.

    A takedown that was interrupted is finished first.

    Args:
        workspace: the project.
        video_ids: known videos; unknown ids are passed over.
        reason: goes into the log as it is.
        rebuild: makes unique frames and dataset again, so that frames that had been dropped as repeats of a removed one
            get another look. Without it they are deleted, and the next run makes them.
        verify: search everything for traces at the end; reads every table of the project.

    Raises:
        NotFound: none of the videos is known, and nothing was left to finish.
        Unavailable: a program holds Dagster's history; run it again when that has ended.
    """
    storage = workspace.storage
    with file_lock(storage.root / ".removals.lock"):
        before = unfinished(storage)
        report = _Takedown(workspace, before, rebuild).finish() if before else None
        videos = workspace.catalog.videos(ids=video_ids)
        if videos:
            removal = plan_removal(storage, videos, reason, utc_now())
            save_plan(storage, removal)
            report = _Takedown(workspace, removal, rebuild).finish()
    if report is not None and verify:
        report.left = find_traces(storage, report.removal.marks)
    if report is None:
        raise NotFound(f"no video is called {', '.join(video_ids)}", remedy="see `video-miner registry list`")
    return report


def dagster_home(workspace: Workspace) -> Path:
    """Where this project's Dagster history is."""
    return Path(os.environ.get("DAGSTER_HOME") or workspace.storage.dagster_home)


class _Takedown:
    """The steps of one takedown."""

    def __init__(self, workspace: Workspace, removal: Removal, rebuild: Rebuild | None) -> None:
        self.workspace = workspace
        self.storage = workspace.storage
        self.removal = removal
        self.report = TakedownReport(removal)
        self._rebuild = rebuild

    def finish(self) -> TakedownReport:
        """Do every step; also those that were done before an interruption."""
        for step in (
            self.leave_tombstones,
            self.delete_artifacts,
            self.redact_versions,
            self.clean_notes,
            self.make_dataset_again,
            self.delete_remains,
            self.clean_history,
            self.rewrite_registry,
            self.write_log,
        ):
            step()
        self.storage.pending_removals.unlink(missing_ok=True)
        return self.report

    def leave_tombstones(self) -> None:
        """From here on the videos are unknown and stay so."""
        self.workspace.catalog.remove_videos(self.removal.video_ids)

    def delete_artifacts(self) -> None:
        """Delete what is about the videos alone, also what appeared since the plan was made."""
        for video_id in self.removal.video_ids:
            for path in artifacts_of(self.storage, video_id):
                self.storage.discard(path)
        # Vectors have no name in them that a search for traces could find.
        self.storage.discard(self.storage.dedup_store)
        for path in self.storage.events.glob("unreadable/*"):
            if find_traces(self.storage, self.removal.marks, below=path):
                path.unlink()

    def redact_versions(self) -> None:
        """Put versions without the videos in the place of those that have them."""
        versions = DatasetVersions(self.storage)
        at = datetime.fromisoformat(self.removal.removed_at)
        for version in versions.holding(self.removal.video_ids):
            made = versions.redact(version, self.removal.video_ids, at)
            self.report.versions[version.record.version] = made.record.version if made else None

    def clean_notes(self) -> None:
        """Take the videos out of the summary of the last run and out of the inputs that the project remembers."""
        marks = self.removal.marks
        _clean_file(self.workspace, self.storage.result, marks, json.loads, _as_json)
        _clean_file(self.workspace, self.storage.root / PROJECT_FILE, marks, yaml.safe_load, _as_yaml)

    def make_dataset_again(self) -> None:
        """Decide again about what had been dropped as repeats of theirs."""
        if not self.removal.rebuild or self._rebuild is None:
            return
        try:
            self._rebuild(self.workspace)
        except MinerError as error:
            self.report.problem = error

    def delete_remains(self) -> None:
        """Delete what is about many videos and still holds one of these; the next run makes it again.

        The record of the dataset is cleaned instead: it remembers in which split every other video is.
        """
        storage, marks = self.storage, self.removal.marks
        _clean_file(self.workspace, storage.dataset / "made_from.json", marks, json.loads, _as_json)
        dedup = storage.unique_table.parent
        made = [*dedup.glob("*"), storage.annotations, storage.visualizations, storage.deduplicated_frames]
        made += [
            path
            for path in storage.dataset.glob("*")
            if path not in (storage.versions, storage.export_folder, storage.export_log)
        ]
        made += [*storage.export_folder.glob("*"), *storage.root.glob("registry.damaged.duckdb*")]
        doomed = [path for path in made if path.exists() and find_traces(storage, marks, below=path)]
        if storage.annotations in doomed:
            doomed.append(storage.dataset / "contact_sheet.jpg")
        # Pictures of many videos, which nothing says the videos of.
        doomed += [path for path in storage.contact_sheets.glob("*") if path.is_file()]
        for path in doomed:
            storage.discard(path)

    def clean_history(self) -> None:
        """Take the videos out of Dagster's partitions, events and logs."""
        home = dagster_home(self.workspace)
        if dagster_history.is_local(home):
            dagster_history.forget_videos(home, self.removal.marks)
        elif (home / "dagster.yaml").exists():
            with open_instance(self.storage) as instance:
                drop_partitions(instance, VIDEOS, self.removal.video_ids)
            self.report.history_elsewhere = True

    def rewrite_registry(self) -> None:
        """Write the registry anew: the bytes of deleted rows stay in a DuckDB file."""
        self.workspace.catalog.rewrite()

    def write_log(self) -> None:
        """One line about this takedown, without titles and URLs."""
        path, removal = self.storage.removals, self.removal
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        if any(json.loads(line)["removal"] == removal.key for line in lines):
            return
        entry: dict[str, Any] = {
            "removal": removal.key,
            "removed_at": removal.removed_at,
            "video_ids": removal.video_ids,
            "reason": removal.reason,
            "artifacts": len(removal.artifacts),
            "bytes": removal.bytes,
            "images": removal.images,
            "annotations": removal.annotations,
            "reconsidered": removal.reconsidered,
            "versions": removal.versions,
            "exports": removal.exports,
        }
        with self.storage.publish_file(path) as target:
            target.write_text("".join(f"{line}\n" for line in [*lines, json.dumps(entry)]), encoding="utf-8")


def _clean_file(
    workspace: Workspace,
    path: Path,
    marks: Marks,
    parse: Callable[[str], Any],
    write: Callable[[Any], str],
) -> None:
    """Take every mention out of a JSON or YAML file; one that cannot be parsed is deleted if it has a mention."""
    if not path.exists() or not find_traces(workspace.storage, marks, below=path):
        return
    try:
        values = parse(path.read_text(encoding="utf-8"))
    except (ValueError, yaml.YAMLError):
        path.unlink()
        return
    with workspace.storage.publish_file(path) as target:
        target.write_text(write(_pruned(values, marks)), encoding="utf-8")


def _pruned(value: Any, marks: Marks) -> Any:  # noqa: ANN401 (whatever JSON and YAML hold)
    """Without the entries of lists, and the keys, that are about the videos."""
    if isinstance(value, list):
        return [_pruned(entry, marks) for entry in value if not _is_about(entry, marks)]
    if isinstance(value, dict):
        return {key: _pruned(entry, marks) for key, entry in value.items() if not marks.found_in(str(key))}
    return REMOVED if isinstance(value, str) and marks.found_in(value) else value


def _is_about(entry: Any, marks: Marks) -> bool:  # noqa: ANN401
    if isinstance(entry, dict):
        return any(_is_about(value, marks) for value in entry.values())
    return isinstance(entry, str) and marks.found_in(entry)


def _as_json(values: Any) -> str:  # noqa: ANN401
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"


def _as_yaml(values: Any) -> str:  # noqa: ANN401
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100)
