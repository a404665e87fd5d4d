"""Making the registry again from what it describes: artifacts first, then events, then what the old file still says.

An artifact that is there makes its stage done, whatever anybody said; an event with the same keys lends it its times.
A stage that is said to be done without its artifact is not done. Only keywords and search results exist nowhere but in
the registry: they are salvaged if the old file still opens.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar, cast

import duckdb

from miner_resources.errors import InvalidData
from miner_resources.events import Decision, Event, Removal, folded, pending
from miner_resources.pacing import Pool
from miner_resources.records import VIDEO_STAGES, Json, Stage, StageRecord, Status, Video
from miner_resources.registry.database import DamagedRegistry, RegistryDatabase, transaction
from miner_resources.registry.ledger import DONE, Ledger
from miner_resources.registry.pools import load_pools, save_pool
from miner_resources.registry.record_json import Fields, metrics_of, read_json, to_json, video_from_json
from miner_resources.registry.records import Keyword, RebuildReport, SearchResult
from miner_resources.registry.rows import (
    save,
    save_ledger,
    select_keywords,
    select_removed,
    select_search_results,
    select_stage_records,
    select_videos,
)
from miner_resources.registry.views import view_files
from miner_resources.storage import Storage, check_video_id, link
from miner_resources.tables import COMPUTE_KEY, DECISION_KEY, read_metadata

_TABLES = {"frames": Stage.EXTRACT, "scores": Stage.FILTER, "embeddings": Stage.EMBED, "detections": Stage.DETECT}
_INFO_SUFFIX = ".info.json"

Read = TypeVar("Read")


@dataclass
class _Found:
    """What could be read, and what was left out and why."""

    ledger: Ledger = field(default_factory=Ledger)
    keywords: list[Keyword] = field(default_factory=list[Keyword])
    search_results: list[SearchResult] = field(default_factory=list[SearchResult])
    pools: dict[str, Pool] = field(default_factory=dict[str, Pool])
    problems: list[str] = field(default_factory=list[str])


def rebuild_registry(database: RegistryDatabase) -> RebuildReport:
    """Write a new registry and put it in the place of the old one. Hold the lock; pending events stay pending.

    Raises:
        RegistryBusy: a program that does not know our lock has the registry open.
        InvalidData: the registry was made by a newer version.
    """
    storage = database.storage
    found = _salvage(database)
    salvaged = storage.registry.exists() and not found.problems
    if found.problems:
        found.problems.append(f"the damaged registry was kept as {_keep_damaged(storage)}")
    ledger = _reconstruct(storage, found)
    results = [result for result in found.search_results if result.video_id not in ledger.removed]
    with database.create() as connection, transaction(connection):
        save_ledger(connection, ledger)
        save(connection, "keywords", found.keywords)
        save(connection, "search_results", results)
        for name, pool in found.pools.items():
            save_pool(connection, name, pool)
    return RebuildReport(
        videos=len(ledger.videos),
        stage_records=len(ledger.records),
        keywords=len(found.keywords),
        removed=len(ledger.removed),
        salvaged=salvaged,
        problems=tuple(found.problems),
    )


def _salvage(database: RegistryDatabase) -> _Found:
    """The old registry, table by table; what exists nowhere else comes first."""
    found = _Found()
    if not database.storage.registry.exists():
        return found

    def attempt(table: str, read: Callable[[duckdb.DuckDBPyConnection], Read], fallback: Read) -> Read:
        try:
            with database.connection() as connection:
                return read(connection)
        except (DamagedRegistry, ValueError, TypeError) as error:
            found.problems.append(f"the table {table} of the old registry is lost: {error.args[0]}")
            return fallback

    found.keywords = attempt("keywords", select_keywords, [])
    found.search_results = attempt("search_results", select_search_results, [])
    found.pools = attempt("pools", load_pools, {})
    found.ledger.removed = attempt("removed_videos", select_removed, {})
    found.ledger.videos = {video.video_id: video for video in attempt("videos", select_videos, [])}
    records = attempt("stages", select_stage_records, [])
    found.ledger.records = {(record.video_id, record.stage): record for record in records}
    return found


def _keep_damaged(storage: Storage) -> Path:
    kept = storage.registry.with_name("registry.damaged.duckdb")
    kept.unlink(missing_ok=True)
    link(storage.registry, kept)
    return kept


def _reconstruct(storage: Storage, found: _Found) -> Ledger:
    """The ledger that the artifacts prove, completed by events and the salvaged ledger."""
    settled = [spooled.event for spooled in folded(storage)]
    events = settled + [spooled.event for spooled in pending(storage)]
    said = found.ledger
    removals = [event for event in events if isinstance(event, Removal)]
    ledger = Ledger(removed=said.removed | {removal.video_id: removal.removed_at for removal in removals})

    for video in said.videos.values():
        ledger.apply(_undecided(video))
    for event in events:
        if isinstance(event, Video):
            ledger.apply(_undecided(event))
        elif isinstance(event, StageRecord):
            said.apply(event)
    proven = {(record.video_id, record.stage): record for record in _proven(storage, ledger, said, found.problems)}

    lost = {key[0] for key, record in said.records.items() if _is_lost(record) and key not in proven}
    unproven = [record for key, record in said.records.items() if key not in proven and not _is_lost(record)]
    decisions = [event for event in events if isinstance(event, Decision)]
    kept = [event for event in decisions if event.status is not Status.COMPLETE or event.video_id not in lost]
    for event in sorted([*proven.values(), *unproven, *kept], key=_time):
        ledger.apply(event)
    unknown = {record.video_id for record in ledger.records.values()} - set(ledger.videos)
    found.problems += [
        f"artifacts of {video_id} have no info.json and no row: left out" for video_id in sorted(unknown)
    ]
    ledger.records = {key: record for key, record in ledger.records.items() if key[0] in ledger.videos}
    return ledger


def _undecided(video: Video) -> Video:
    """The row as if no stage had run yet; what the artifacts prove is applied afterwards."""
    return video if video.status is Status.SKIPPED else replace(video, status=Status.PENDING)


def _is_lost(record: StageRecord) -> bool:
    """Whether a record stands for an artifact (and so counts only if the artifact is there)."""
    return record.status == DONE and record.stage in VIDEO_STAGES


def _time(event: Event) -> tuple[datetime, bool]:
    if isinstance(event, StageRecord):
        return event.finished_at, False
    return (event.decided_at, True) if isinstance(event, Decision) else (datetime.max.replace(tzinfo=UTC), True)


def _proven(storage: Storage, ledger: Ledger, said: Ledger, problems: list[str]) -> Iterator[StageRecord]:
    """Records of all artifacts that are there; videos with an `info.json` are added to the ledger on the way."""
    files = {path.name.split(".")[0] for path in (storage.root / "videos").glob("*") if not _is_info(path)}
    for path in sorted((storage.root / "videos").glob(f"*{_INFO_SUFFIX}")):
        try:
            record = _download(path, ledger, said)
        except InvalidData as error:
            problems.append(str(error))
        else:
            if record.video_id in files:
                yield record
    for view, stage in _TABLES.items():
        folder, pattern = view_files(storage)[view]
        for path in sorted(folder.glob(pattern)):
            try:
                yield _table(
                    path, check_video_id(path.relative_to(folder).parts[0].removesuffix(".parquet")), stage, said
                )
            except InvalidData as error:
                problems.append(str(error))


def _is_info(path: Path) -> bool:
    return path.name.endswith(_INFO_SUFFIX)


def _download(path: Path, ledger: Ledger, said: Ledger) -> StageRecord:
    """Take over what `info.json` knows about the video; what it lacks the ledger may know already."""
    video_id = check_video_id(path.name.removesuffix(_INFO_SUFFIX))
    info = {key: value for key, value in read_json(path.read_bytes(), where=str(path)).items() if value is not None}
    known = ledger.videos.get(video_id)
    fallback = to_json(known) if known else {"added_at": _written_at(path).isoformat()}
    status = known.status if known else Status.PENDING
    ledger.apply(video_from_json({**fallback, **info, "video_id": video_id, "status": status}, where=str(path)))
    fields = Fields(info, where=str(path))
    metrics = cast("dict[str, Json]", fields.mapping("metrics"))
    record = _record(path, video_id, Stage.DOWNLOAD, (fields.text("compute_key"), fields.text("decision_key")), metrics)
    return _completed(record, said)


def _table(path: Path, video_id: str, stage: Stage, said: Ledger) -> StageRecord:
    metadata = read_metadata(path)
    if not metadata:
        raise InvalidData(f"cannot read {path}", remedy="delete it and run that stage again")
    keys = metadata.get(COMPUTE_KEY), metadata.get(DECISION_KEY)
    return _completed(_record(path, video_id, stage, keys, metrics_of(metadata, path)), said)


def _record(
    path: Path, video_id: str, stage: Stage, keys: tuple[str | None, str | None], metrics: dict[str, Json]
) -> StageRecord:
    time = _written_at(path)
    return StageRecord(
        video_id=video_id,
        stage=stage,
        status=DONE,
        started_at=time,
        finished_at=time,
        compute_key=keys[0],
        decision_key=keys[1],
        metrics=metrics,
    )


def _completed(record: StageRecord, said: Ledger) -> StageRecord:
    """What the stage itself said about the same artifact knows its times; otherwise the file's own."""
    known = said.records.get((record.video_id, record.stage))
    keys = (record.status, record.compute_key, record.decision_key)
    return known if known and (known.status, known.compute_key, known.decision_key) == keys else record


def _written_at(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, tz=UTC)
