"""What the registry knows about videos, and how an event changes it: pure rules, no files and no SQL.

`catalog.py` applies pending events to the rows it loaded, `registry/rebuild.py` to what it found in the artifacts.
Applying an event a second time changes nothing.
"""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime

from miner_resources.events import Decision, Event, Removal, merge
from miner_resources.records import VIDEO_STAGES, Stage, StageRecord, Status, Video

DONE = "done"
FAILED = "failed"
WAITING = "waiting"
SKIPPED = "skipped"

_ORDER = {stage: position for position, stage in enumerate(VIDEO_STAGES)}


@dataclass
class Ledger:
    """Videos, what the stages said about them, and tombstones."""

    videos: dict[str, Video] = field(default_factory=dict[str, Video])
    records: dict[tuple[str, Stage], StageRecord] = field(default_factory=dict[tuple[str, Stage], StageRecord])
    removed: dict[str, datetime] = field(default_factory=dict[str, datetime])

    def copy(self) -> "Ledger":
        """A ledger that can change without this one."""
        return Ledger(dict(self.videos), dict(self.records), dict(self.removed))

    def records_of(self, video_id: str) -> list[StageRecord]:
        """What the stages said about one video."""
        keys = ((video_id, stage) for stage in Stage)
        return [self.records[key] for key in keys if key in self.records]

    def apply(self, event: Event) -> None:
        """Take over what an event says; events about a removed video change nothing."""
        if event.video_id in self.removed:
            return
        match event:
            case Video():
                self._apply_video(event)
            case StageRecord():
                self._apply_record(event)
            case Decision():
                self._set_status(event.video_id, event.status, event.decided_at)
            case Removal():
                self._apply_removal(event)

    def _apply_video(self, video: Video) -> None:
        known = self.videos.get(video.video_id)
        if known is None:
            records = self.records_of(video.video_id)
            self.videos[video.video_id] = replace(video, status=derive_status(records)) if records else video
            return
        merged = merge(known, video)
        if merged != known:
            self.videos[video.video_id] = replace(merged, updated_at=_latest(known.updated_at, video.updated_at))

    def _apply_record(self, record: StageRecord) -> None:
        key = (record.video_id, record.stage)
        known = self.records.get(key)
        if known is not None and known.finished_at > record.finished_at:
            return
        skipped_by_stage = any(old.status == SKIPPED for old in self.records_of(record.video_id))
        self.records[key] = record
        video = self.videos.get(record.video_id)
        skipped_by_hand = video is not None and video.status is Status.SKIPPED and not skipped_by_stage
        if video is not None and record.stage in VIDEO_STAGES:
            # Also when the record was there already: a decision that came before it may just have been applied again.
            status = video.status if skipped_by_hand else derive_status(self.records_of(video.video_id))
            self._set_status(video.video_id, status, record.finished_at)

    def _set_status(self, video_id: str, status: Status, at: datetime) -> None:
        video = self.videos.get(video_id)
        if video is not None:
            self.videos[video_id] = replace(video, status=status, updated_at=_latest(video.updated_at, at))

    def _apply_removal(self, removal: Removal) -> None:
        self.removed[removal.video_id] = removal.removed_at
        self.videos.pop(removal.video_id, None)
        for record in self.records_of(removal.video_id):
            del self.records[record.video_id, record.stage]


def derive_status(records: Collection[StageRecord]) -> Status:
    """Where a video stands by what its stages said last.

    It failed if a stage failed and neither that stage nor an earlier one succeeded since; it is skipped if a stage left
    it out; otherwise the stage that succeeded last counts. Without any record, or if all that stages did was to wait,
    the video is pending.
    """
    own = [record for record in records if record.stage in VIDEO_STAGES]
    done = [record for record in own if record.status == DONE]
    failed = [record for record in own if record.status == FAILED]
    if any(not _is_cleared(failure, done) for failure in failed):
        return Status.FAILED
    if any(record.status == SKIPPED for record in own):
        return Status.SKIPPED
    if not done:
        return Status.PENDING
    last = max(done, key=lambda record: (record.finished_at, _ORDER[record.stage]))
    return VIDEO_STAGES[last.stage][1]


def _is_cleared(failure: StageRecord, done: Collection[StageRecord]) -> bool:
    return any(
        _ORDER[success.stage] <= _ORDER[failure.stage] and success.finished_at > failure.finished_at for success in done
    )


def _latest(*times: datetime | None) -> datetime | None:
    return max((time for time in times if time is not None), default=None)
