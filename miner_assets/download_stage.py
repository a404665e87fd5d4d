"""The download stage: each video on disk, checked that it is one, with its facts beside it.

How a download can end, and what a later try may change, is decided here; `web/fetch.py` fetches.
"""

import logging
import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from miner_assets.prescreen import Look, Prescreen, best_first
from miner_assets.video_stage import Outcome, Task
from miner_assets.workspace import Workspace
from miner_resources import events
from miner_resources.config_sections import DownloadConfig
from miner_resources.deadline import time_limit
from miner_resources.errors import FULL_OR_LOCKED, InvalidData, MinerError, NotConfigured, NotFound, TimedOut, Waiting
from miner_resources.locks import LockBusy
from miner_resources.records import Json, Stage, StageRecord, Video
from miner_resources.registry.ledger import FAILED, SKIPPED
from miner_resources.storage import ArtifactKeys, link, stable_hash
from miner_resources.video_facts import VideoFacts, read_facts, write_facts
from miner_resources.video_reader import VideoInfo, probe
from miner_resources.video_source import content_hash, local_path
from miner_resources.web.fetch import fetch
from miner_resources.web.trouble import SourceFailed, Trouble

_log = logging.getLogger(__name__)


class DownloadStage:
    """Brings each video to disk: a hard link for a local file, yt-dlp for a URL.

    Args:
        workspace: the project.
        config: a run's settings.
        screen: looks at storyboards first, if that is wanted.
        log: hears why the stage waits.
    """

    stage = Stage.DOWNLOAD

    def __init__(
        self,
        workspace: Workspace,
        config: DownloadConfig,
        screen: Prescreen | None = None,
        log: Callable[[str], None] | None = None,
    ) -> None:
        self.storage = workspace.storage
        self.config = config
        self.force = config.force
        self._workspace = workspace
        self._screen = screen
        self._client = workspace.web(self.stage, config, log=log)
        self._looks: dict[str, Look | None] = {}
        self._before: dict[str, StageRecord] = {}

    def keys(self, video: Video) -> ArtifactKeys:
        """The content decides, so what is there is up to date; what is not there depends on what is allowed."""
        return self.artifact_keys(video) or ArtifactKeys("", self.rules())

    def artifact_keys(self, video: Video) -> ArtifactKeys | None:
        """Read from the facts beside the video, which are written last."""
        facts = self._facts(video.video_id)
        return facts.keys if facts else None

    def _facts(self, video_id: str) -> VideoFacts | None:
        """Facts that cannot be read are as good as none: the video is fetched again, and they with it."""
        try:
            return read_facts(self.storage, video_id)
        except InvalidData as error:
            _log.warning("%s: the video is fetched again", error.message)
            return None

    def work(self, tasks: Sequence[Task]) -> Iterator[Outcome]:
        """Fetch up to `max_concurrent` videos at a time; yields in the order in which they finish.

        Raises:
            SourceFailed: yt-dlp lacks something that it needs for every video.
        """
        ids = [task.video_id for task in tasks]
        records = self._workspace.catalog.stage_records(stage=self.stage, ids=ids)
        self._before = {record.video_id: record for record in records}
        screened = self._screen is not None and self._screen.config.enabled
        group = SCREENED_TOGETHER if screened else max(1, len(tasks))
        with ThreadPoolExecutor(self.config.max_concurrent, thread_name_prefix="download") as pool:
            try:
                for start in range(0, len(tasks), group):
                    ordered = yield from self._looked_at(tasks[start : start + group])
                    for future in as_completed([pool.submit(self._fetch, task) for task in ordered]):
                        yield future.result()
            finally:
                # Downloads that are under way stop soon and go on there the next time.
                self._client.stop.set()
                pool.shutdown(cancel_futures=True)

    def _looked_at(self, tasks: Sequence[Task]) -> Generator[Outcome, None, list[Task]]:
        """Yields the tasks that a storyboard speaks against; returns the others, best first."""
        if self._screen is None or not self._screen.config.enabled:
            return list(tasks)
        wanted: list[Task] = []
        for task in tasks:
            try:
                look = self._looks[task.video_id] = self._screen.look(self._client, task.video)
                self._workspace.listener.frames_done(self.stage, look.pictures if look else 0)
                self._screen.check(task.video, look)
            except MinerError as error:
                yield self._failed(task, error)
            else:
                wanted.append(task)
        return best_first(wanted, self._looks)

    def _fetch(self, task: Task) -> Outcome:
        try:
            path = local_path(task.video.url)
            return self._link(task, path) if path else self._download(task)
        except MinerError as error:
            return self._failed(task, error)
        except OSError as error:
            if error.errno in FULL_OR_LOCKED:
                raise NotConfigured(
                    f"{self.storage.root} cannot be written to: {error.strerror}",
                    remedy="free some space or mend the disk, then run again",
                ) from error
            reason = NotFound(
                f"{task.video.url}: {error.strerror}", remedy="check the path, its permissions and the disk"
            )
            return Outcome(task, error=reason)

    def _failed(self, task: Task, error: MinerError) -> Outcome:
        """Trouble that time may mend is a reason to wait, until it has been met too often.

        What no video is to blame for (our setup, our disk) ends the run instead of failing one video after the other.
        """
        if isinstance(error, NotConfigured) or (isinstance(error, SourceFailed) and error.trouble is Trouble.SETUP):
            raise error
        look, before = self._looks.get(task.video_id), self._before.get(task.video_id)
        metrics = look.metrics() if look else {}
        if isinstance(error, SourceFailed):
            tries = count_try(before, error.kind)
            metrics |= {"trouble": error.kind, "tries": tries}
            if error.policy.wait_s is not None and tries <= error.policy.rounds:
                error = _waiting(f"{error.kind}: {error.message}", error, error.policy.wait_s)
        elif isinstance(error, Waiting):
            metrics |= {
                name: before.metrics[name] for name in ("trouble", "tries") if before and name in before.metrics
            }
            metrics |= {"cooling": True}
        elif error.retryable and not isinstance(error, TimedOut):  # the same file would take as long again
            error = _waiting(error.message, error, MOMENT_S)
        if isinstance(error, Waiting):
            metrics |= {"retry_at": error.until.isoformat()}
        return Outcome(task, metrics, error=error)

    def _link(self, task: Task, source: Path) -> Outcome:
        if not source.is_file():
            raise NotFound(f"{source} is gone", remedy="put the file back, or remove the video from the registry")
        digest = content_hash(source)
        if task.video_id.startswith("file-") and task.video_id != f"file-{digest[:12]}":
            raise InvalidData(
                f"{source} has changed since it was registered as {task.video_id}",
                remedy="run again: the new content gets an id of its own",
            )
        return self._publish(task, source, digest, {})

    def _download(self, task: Task) -> Outcome:
        client = self._client
        try:
            with self.storage.downloading(task.video_id, timeout_s=client.patience, wait=client.pause):
                return self._download_alone(task)
        except LockBusy:
            until = datetime.now(UTC) + timedelta(seconds=MOMENT_S)
            reason = f"another process has been downloading {task.video.url} for {client.patience:g} s"
            raise Waiting(reason, remedy="nothing to do: it is looked at again", until=until) from None

    def _download_alone(self, task: Task) -> Outcome:
        facts = None if self.force else self._facts(task.video_id)
        if facts is not None:  # another process was quicker
            return Outcome(replace(task, video=facts.video, keys=facts.keys), dict(facts.metrics))
        folder = self.storage.partial(task.video_id)
        fetched = fetch(self._client, task.video, folder, self._workspace.config.rights)
        outcome = self._publish(
            replace(task, video=fetched.video), fetched.path, content_hash(fetched.path), fetched.source
        )
        self.storage.discard(folder)
        return outcome

    def _publish(self, task: Task, source: Path, digest: str, found: Mapping[str, Json]) -> Outcome:
        with time_limit(task.video_id, self.config.timeout_s, "download.timeout_s"):
            info = probe(source)
        suffix = re.sub(r"[^a-z0-9]", "", source.suffix.lower())[:5] or "video"
        size = source.stat().st_size
        look = self._looks.get(task.video_id)
        metrics: dict[str, Json] = {"rows": 1, "kept": 1, "rejected": 0, "bytes": size, "frames": info.frame_count}
        metrics |= {name: found[name] for name in REPORTED if found.get(name) is not None}
        metrics |= look.metrics() if look else {}
        facts = VideoFacts(
            video=_measured(task.video, info),
            sha256=digest,
            size_bytes=size,
            width=info.width,
            height=info.height,
            fps=None if info.average_fps is None else round(float(info.average_fps), 6),
            frames=info.frame_count,
            codec=info.codec,
            metrics=metrics,
            source=found,
        )
        self.storage.discard(self.storage.info(task.video_id))
        with self.storage.publish_file(self.storage.new_video(task.video_id, suffix)) as target:
            link(source, target)
        write_facts(self.storage, facts)
        events.publish(self.storage, facts.video)
        return Outcome(replace(task, video=facts.video, keys=facts.keys), metrics)

    def rules(self) -> str:
        """Changes when a video that was refused or failed deserves another look."""
        config, project = self.config, self._workspace.config
        allowed: list[Json] = [project.rights, config.max_filesize, config.max_duration_s, config.accept_degraded]
        allowed += [] if config.timeout_s is None else [config.timeout_s]
        ways: Json = [_version(config.cookies_file), config.proxy, config.extractor_args, config.allow_private]
        screen = project.prescreen
        return stable_hash(allowed, ways, screen.threshold if screen.enabled else None)


SCREENED_TOGETHER: Final = 50
"""Videos whose storyboards are looked at before the best of them is downloaded."""

MOMENT_S: Final = 60.0

REPORTED: Final = ("format_id", "formats_offered", "ai_upscaled_offered", "degraded")
"""Facts about the site's file that are shown with the asset."""


def reconsidered(workspace: Workspace) -> list[Video]:
    """Videos that the download refused or gave up under rules that have changed since: other limits, other cookies."""
    stage = DownloadStage(workspace, workspace.config.download)
    ended = [
        record
        for record in workspace.catalog.stage_records(stage=Stage.DOWNLOAD)
        if record.status in (FAILED, SKIPPED) and record.decision_key not in (None, "", stage.rules())
    ]
    return workspace.catalog.videos(ids=[record.video_id for record in ended]) if ended else []


def count_try(before: StageRecord | None, trouble: str) -> int:
    """How often a video has met the same trouble, this time included; impatient tries before its time do not count."""
    metrics = {} if before is None or before.metrics.get("trouble") != trouble else before.metrics
    tries, retry_at = int(str(metrics.get("tries", 0))), str(metrics.get("retry_at", ""))
    early = bool(retry_at) and datetime.fromisoformat(retry_at) > datetime.now(UTC)
    return max(1, tries if early else tries + 1)


def _waiting(message: str, error: MinerError, seconds: float) -> Waiting:
    return Waiting(message, remedy=error.remedy, until=datetime.now(UTC) + timedelta(seconds=seconds))


def _version(file: str | None) -> Json:
    """Changes when a file does."""
    try:
        status = None if file is None else Path(file).expanduser().stat()
    except OSError:
        return [file]
    return None if status is None else [file, status.st_size, status.st_mtime_ns]


def _measured(video: Video, info: VideoInfo) -> Video:
    return replace(video, duration_s=info.duration_s if info.duration_s is not None else video.duration_s)
