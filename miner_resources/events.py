"""What stages have to say to the registry: a spool of small immutable files under `events/`.

A process that may not (or need not) open the registry publishes an event as one file in `new/`; whoever folds it into
the registry then moves it to `folded/`, where the latest event of each kind and video stays: `registry rebuild` reads
it. Every step is one rename and can be repeated, so a kill loses nothing. To add a kind of event: a record, its name
in `_kind`, and how it is read in `_parse`.
"""

import logging
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from miner_resources.errors import InvalidData
from miner_resources.records import Stage, StageRecord, Status, Video
from miner_resources.registry.record_json import (
    Fields,
    read_json,
    stage_record_from_json,
    to_json,
    video_from_json,
    write_json,
)
from miner_resources.storage import Storage, check_video_id

_VERSION = 1

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Removal:
    """The tombstone of a video that was taken down."""

    video_id: str
    removed_at: datetime


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A status that somebody set, as against one that follows from a stage: skipped, complete, pending again."""

    video_id: str
    status: Status
    decided_at: datetime


Event = Video | StageRecord | Decision | Removal


@dataclass(frozen=True)
class SpooledEvent:
    """An event and the file that holds it.

    Attributes:
        path: the file, in `new/` or in `folded/`.
        time_ns: when it was published, nanoseconds since 1970.
        event: what it says.
    """

    path: Path
    time_ns: int
    event: Event

    @property
    def published_at(self) -> datetime:
        """When it was published, in UTC, to the microsecond."""
        return datetime.fromtimestamp(self.time_ns / 1e9, tz=UTC)


def publish(storage: Storage, event: Event) -> SpooledEvent:
    """Put an event into the spool; when this returns it survives a crash.

    Raises:
        InvalidData: the video id is not safe as a file name, or a metric is not a finite number.
    """
    video_id = check_video_id(event.video_id)
    time_ns = storage.clock.now_ns()
    name = f"{time_ns:020d}~{_kind(event)}~{video_id}~{uuid.uuid4().hex[:8]}.json"
    spooled = SpooledEvent(storage.events / "new" / name, time_ns, event)
    _write(storage, spooled)
    return spooled


def pending(storage: Storage) -> list[SpooledEvent]:
    """Events that were not settled yet, oldest first.

    A file that cannot be understood is set aside in `events/unreadable/` with a warning, so that it blocks nobody.
    """
    events = list(_read_folder(storage, storage.events / "new"))
    return sorted(events, key=lambda spooled: (spooled.time_ns, spooled.path.name))


def has_pending(storage: Storage) -> bool:
    """Whether there is anything to settle, without reading it."""
    return any((storage.events / "new").glob("*.json"))


def folded(storage: Storage) -> list[SpooledEvent]:
    """The latest settled event of each kind (each stage is a kind) and video, oldest first."""
    kinds = sorted(folder for folder in (storage.events / "folded").glob("*") if folder.is_dir())
    events = [spooled for folder in kinds for spooled in _read_folder(storage, folder)]
    return sorted(events, key=lambda spooled: (spooled.time_ns, str(spooled.path)))


def settle(storage: Storage, events: Iterable[SpooledEvent]) -> None:
    """Move events that the registry has taken over to `folded/{kind}/{video_id}.json`, where the latest wins.

    Two rows of one video are merged as the registry merges them. A removal also deletes what
    other events said about that video, and what is said afterwards is not kept.
    """
    settled = list(events)
    storage.clock.note(max((spooled.time_ns for spooled in settled), default=0))
    for spooled in settled:
        target = _settled_path(storage, spooled.event)
        if isinstance(spooled.event, Removal):
            _forget(storage, spooled.event.video_id)
        elif _settled_path(storage, _tombstone(spooled)).exists():
            spooled.path.unlink(missing_ok=True)
            continue
        _settle_one(storage, spooled, target)


def merge(known: Video, news: Video) -> Video:
    """`known` with the fields it lacks taken from `news`; its status and times stay.

    Size and time of a local source follow `news` when both speak of the same path: the file was touched.
    """
    gaps = {name: value for name, value in vars(news).items() if getattr(known, name) is None and value is not None}
    gaps.pop("updated_at", None)
    if known.url == news.url and news.source_size is not None:
        gaps |= {"source_size": news.source_size, "source_mtime_ns": news.source_mtime_ns}
    return replace(known, **gaps) if gaps else known


def _settle_one(storage: Storage, spooled: SpooledEvent, target: Path) -> None:
    older = _read(target) if target.exists() else None
    if older is not None and older.time_ns > spooled.time_ns:
        spooled.path.unlink(missing_ok=True)
    elif older is not None and isinstance(older.event, Video) and isinstance(spooled.event, Video):
        _write(storage, SpooledEvent(target, spooled.time_ns, merge(older.event, spooled.event)))
        spooled.path.unlink(missing_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        _move(spooled.path, target)


def _forget(storage: Storage, video_id: str) -> None:
    for path in (storage.events / "folded").glob(f"*/{video_id}.json"):
        path.unlink(missing_ok=True)


def forget_removals(storage: Storage, video_ids: Iterable[str]) -> None:
    """Delete the tombstones of videos that may come back. Hold the lock of the registry, with all events settled."""
    for video_id in video_ids:
        _settled_path(storage, Removal(video_id=video_id, removed_at=storage.clock.now())).unlink(missing_ok=True)


def _tombstone(spooled: SpooledEvent) -> Removal:
    return Removal(video_id=spooled.event.video_id, removed_at=spooled.published_at)


def _settled_path(storage: Storage, event: Event) -> Path:
    return storage.events / "folded" / _kind(event) / f"{check_video_id(event.video_id)}.json"


def _kind(event: Event) -> str:
    match event:
        case Video():
            return "video"
        case StageRecord():
            return event.stage.value
        case Decision():
            return "decision"
        case Removal():
            return "removed"


def _write(storage: Storage, spooled: SpooledEvent) -> None:
    content = write_json(
        {
            "version": _VERSION,
            "kind": _kind(spooled.event),
            "time_ns": spooled.time_ns,
            "content": to_json(spooled.event),
        }
    )
    with storage.publish_file(spooled.path) as temporary:
        temporary.write_bytes(content)


def _read_folder(storage: Storage, folder: Path) -> Iterator[SpooledEvent]:
    for path in folder.glob("*.json"):
        try:
            spooled = _read(path)
        except InvalidData as error:
            _log.warning("event set aside in events/unreadable: %s", error)
            aside = storage.events / "unreadable" / f"{folder.name}~{path.name}"
            aside.parent.mkdir(parents=True, exist_ok=True)
            _move(path, aside)
        else:
            if spooled is not None:
                yield spooled


def _read(path: Path) -> SpooledEvent | None:
    try:
        data = path.read_bytes()
    except FileNotFoundError:  # settled by another process since the folder was listed
        return None
    source = read_json(data, where=str(path))
    fields = Fields(source, where=str(path))
    kind = fields.required(fields.text("kind"), "kind")
    time_ns = fields.required(fields.integer("time_ns"), "time_ns")
    content = fields.mapping("content")
    fields.check()
    return SpooledEvent(path, time_ns, _parse(kind, content, where=str(path)))


def _parse(kind: str, content: dict[str, object], *, where: str) -> Event:
    if kind == "video":
        return video_from_json(content, where=where)
    if kind in {stage.value for stage in Stage}:
        return stage_record_from_json(content, where=where)
    fields = Fields(content, where=where)
    video_id = fields.required(fields.text("video_id"), "video_id")
    event: Event
    if kind == "decision":
        status = fields.required(fields.choice("status", Status), "status")
        decided_at = fields.required(fields.time("decided_at"), "decided_at")
        event = Decision(video_id=video_id, status=status, decided_at=decided_at)
    elif kind == "removed":
        event = Removal(video_id=video_id, removed_at=fields.required(fields.time("removed_at"), "removed_at"))
    else:
        raise InvalidData(f"{where} holds an event of the unknown kind {kind!r}", remedy="update Video Miner")
    fields.check()
    check_video_id(video_id)
    return event


def _move(path: Path, target: Path) -> None:
    try:
        path.replace(target)
    except FileNotFoundError:  # already moved: by a settle that was killed half-way, or by another process
        return
