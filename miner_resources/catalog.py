"""The registry of videos, stages and keywords: typed reads and short, repeatable writes on `registry.duckdb`.

Every call opens the file behind its lock and closes it again (`registry/session.py`), so any number of processes can
use one registry. What must survive the loss of the file is published as an event first and then folded in. A registry
that is missing is rebuilt from the artifacts on first use. To add a table: `schema.sql`, a record, a `select_…` in
`registry/rows.py`, a method here.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, TypeVar

from miner_resources.errors import InvalidData
from miner_resources.events import Decision, Removal, forget_removals, has_pending
from miner_resources.pacing import Pool
from miner_resources.records import VIDEO_STAGES, Stage, StageRecord, Status, Video
from miner_resources.registry.database import transaction
from miner_resources.registry.ledger import FAILED, derive_status
from miner_resources.registry.pools import load_pool, load_pools, save_pool
from miner_resources.registry.records import Keyword, RebuildReport, SearchResult, Statistics
from miner_resources.registry.rows import (
    delete_rows,
    load_ledger,
    save,
    select_keywords,
    select_removed,
    select_search_results,
    select_stage_records,
    select_videos,
)
from miner_resources.registry.session import CatalogSession
from miner_resources.registry.statistics import count_statistics
from miner_resources.storage import Storage, check_video_id

VIDEOS_PER_LOCK: Final = 500
"""Publishing an event costs a third of a millisecond or more, and others wait meanwhile."""

Item = TypeVar("Item")
Result = TypeVar("Result")
_RUNNING = frozenset(running for running, _ in VIDEO_STAGES.values())
_ANY_OF = "IN (SELECT unnest(?::VARCHAR[]))"


class Catalog:
    """The registry of one output folder.

    Args:
        storage: the output folder.
        timeout_s: how long to wait for other processes before `RegistryBusy`.
    """

    def __init__(self, storage: Storage, *, timeout_s: float = 60.0) -> None:
        self._session = CatalogSession(storage, timeout_s=timeout_s)

    def add_videos(self, videos: Iterable[Video]) -> list[str]:
        """Add videos that are not known yet, and what is not known yet about those that are.

        Removed videos stay removed. The status of known videos stays.

        Returns:
            The ids that are new, in the given order.

        Raises:
            InvalidData: an id is not safe as a file name; nothing was added.
        """
        rows = list(videos)
        for video in rows:
            check_video_id(video.video_id)
        return [video_id for chunk in _chunks(rows) for video_id in self._add_videos(chunk)]

    def videos(
        self, *, status: Status | None = None, keyword: str | None = None, ids: Iterable[str] | None = None
    ) -> list[Video]:
        """Videos that meet all given conditions, in the order in which they were added (then by id)."""
        conditions: dict[str, object] = {}
        if status is not None:
            conditions["status = ?"] = status.value
        if keyword is not None:
            conditions["source_keyword = ?"] = keyword
        if ids is not None:
            conditions[f"video_id {_ANY_OF}"] = chosen = list(ids)
            if not chosen:  # opening the file takes longer than most questions
                return []
        with self._session.reading() as connection:
            return select_videos(connection, _where(conditions), *conditions.values())

    def set_status(self, ids: Iterable[str], status: Status) -> None:
        """Set the status of videos until a stage says something newer; unknown ids are passed over.

        A skipped video stays skipped whatever the stages say, until its status is set again.
        """
        for chunk in _chunks(list(ids)):
            with self._session.writing() as connection:
                videos = select_videos(connection, f"WHERE video_id {_ANY_OF} AND status <> ?", chunk, status.value)
                now = self._session.storage.clock.now()
                if status in _RUNNING:
                    save(connection, "videos", [replace(video, status=status, updated_at=now) for video in videos])
                    videos = [video for video in videos if video.status is Status.SKIPPED]
                decisions = [Decision(video_id=video.video_id, status=status, decided_at=now) for video in videos]
                self._session.say(connection, decisions)

    def restore_status(self, ids: Iterable[str]) -> None:
        """Where videos stood before a stage began with them that did not end: what their stages said last counts."""
        for chunk in _chunks(list(ids)):
            with self._session.writing() as connection:
                videos = select_videos(connection, f"WHERE video_id {_ANY_OF}", chunk)
                said: dict[str, list[StageRecord]] = {}
                for record in select_stage_records(connection, f"WHERE video_id {_ANY_OF}", chunk):
                    said.setdefault(record.video_id, []).append(record)
                busy = [video for video in videos if video.status in _RUNNING]
                restored = [replace(video, status=derive_status(said.get(video.video_id, []))) for video in busy]
                save(connection, "videos", restored)

    def mark_complete(self, ids: Iterable[str]) -> None:
        """Set the status of videos that are in the dataset."""
        self.set_status(ids, Status.COMPLETE)

    def fold(self) -> int:
        """Take over what was published since the last fold, in one transaction; returns the number of events.

        The status of a video follows from what its stages said (`ledger.derive_status`).
        """
        if not has_pending(self._session.storage):
            return 0
        with self._session.open() as connection:
            return self._session.fold(connection)

    def stage_records(self, *, stage: Stage | None = None, ids: Iterable[str] | None = None) -> list[StageRecord]:
        """What the stages said last, by video, in the order in which the stages ended."""
        conditions: dict[str, object] = {}
        if stage is not None:
            conditions["stage = ?"] = stage.value
        if ids is not None:
            conditions[f"video_id {_ANY_OF}"] = chosen = list(ids)
            if not chosen:
                return []
        with self._session.reading() as connection:
            return select_stage_records(connection, _where(conditions), *conditions.values())

    def failures(self) -> list[StageRecord]:
        """The failed stages of videos whose status is failed."""
        condition = "WHERE status = ? AND video_id IN (SELECT video_id FROM videos WHERE status = ?)"
        with self._session.reading() as connection:
            return select_stage_records(connection, condition, FAILED, Status.FAILED.value)

    def statistics(self) -> Statistics:
        """The registry in numbers."""
        with self._session.reading() as connection:
            return count_statistics(connection)

    def add_keyword(self, keyword: str, *, max_results: int | None = None) -> bool:
        """Watch a search, as `add_keywords` does. Returns whether it is new."""
        return bool(self.add_keywords([keyword], max_results=max_results))

    def add_keywords(self, keywords: Iterable[str], *, max_results: int | None = None) -> list[str]:
        """Watch searches; a known keyword gets the new `max_results` if one is given. Returns those that are new.

        Raises:
            InvalidData: a keyword is blank, or `max_results` is below 1; nothing was added.
        """
        texts = list(dict.fromkeys(_checked_keyword(keyword) for keyword in keywords))
        if max_results is not None and max_results < 1:
            raise InvalidData(f"max_results of {texts} is {max_results}", remedy="ask for at least 1 result")
        with self._session.writing() as connection:
            known = {row.keyword: row for row in select_keywords(connection)}
            now = self._session.storage.clock.now()
            # A microsecond apart, so that they stay in the order in which they were given.
            times = [now + timedelta(microseconds=place) for place in range(len(texts))]
            new = zip(texts, times, strict=True)
            rows = [known.get(text) or Keyword(keyword=text, added_at=time) for text, time in new]
            save(connection, "keywords", [replace(row, max_results=max_results or row.max_results) for row in rows])
        return [text for text in texts if text not in known]

    def keywords(self) -> list[Keyword]:
        """Watched searches, in the order in which they were added."""
        with self._session.reading() as connection:
            return select_keywords(connection)

    def remove_keyword(self, keyword: str) -> bool:
        """Stop watching a search and forget its results; its videos stay. Returns whether it was watched."""
        text = " ".join(keyword.split())
        with self._session.writing() as connection, transaction(connection):
            connection.execute("DELETE FROM search_results WHERE keyword = ?", [text])
            return bool(connection.execute("DELETE FROM keywords WHERE keyword = ? RETURNING 1", [text]).fetchall())

    def add_search_results(
        self, keyword: str, results: Sequence[SearchResult], *, settings: str | None = None, complete: bool = True
    ) -> None:
        """Note what a search found (maybe nothing) and when; results about removed videos are left out.

        Args:
            keyword: what was searched for.
            results: what was found.
            settings: a hash of the filters it was made with, so that a change of them asks for a new search.
            complete: whether the search came to its end; otherwise it still has to be made.

        Raises:
            InvalidData: a result belongs to another keyword.
        """
        text = _checked_keyword(keyword)
        rows = [replace(result, keyword=_checked_keyword(result.keyword)) for result in results]
        for row in rows:
            if row.keyword != text:
                raise InvalidData(f"a result of {row.keyword!r} was given for {text!r}", remedy="report this bug")
        with self._session.writing() as connection, transaction(connection):
            removed = select_removed(connection, f"WHERE video_id {_ANY_OF}", [row.video_id for row in rows])
            unique = {row.video_id: row for row in reversed(rows) if row.video_id not in removed}
            save(connection, "search_results", unique.values())
            connection.execute(
                "UPDATE keywords SET last_searched_at = ?, last_settings = ? WHERE keyword = ?",
                [self._session.storage.clock.now().replace(tzinfo=None) if complete else None, settings, text],
            )

    def search_results(self, *, keyword: str | None = None) -> list[SearchResult]:
        """What searches found, by keyword and rank."""
        conditions: dict[str, object] = {} if keyword is None else {"keyword = ?": " ".join(keyword.split())}
        with self._session.reading() as connection:
            return select_search_results(connection, _where(conditions), *conditions.values())

    def remove_videos(self, ids: Iterable[str]) -> list[str]:
        """Delete all rows about videos and leave tombstones, so that they are never added again.

        Artifacts are deleted by the caller, before or after.

        Returns:
            The ids that were known.

        Raises:
            InvalidData: an id is not safe as a file name; nothing was removed.
        """
        chosen = [check_video_id(video_id) for video_id in dict.fromkeys(ids)]
        with self._session.writing() as connection:
            before = load_ledger(connection, chosen)
            now = self._session.storage.clock.now()
            self._session.say(
                connection, [Removal(video_id=name, removed_at=now) for name in chosen if name not in before.removed]
            )
        return [video_id for video_id in chosen if video_id in before.videos]

    def removed_videos(self) -> dict[str, datetime]:
        """Tombstones: removed video → when."""
        with self._session.reading() as connection:
            return select_removed(connection)

    def restore_videos(self, ids: Iterable[str]) -> list[str]:
        """Take tombstones away, so that the videos can be added again. Returns the ids that had one.

        Raises:
            InvalidData: an id is not safe as a file name; nothing was changed.
        """
        chosen = [check_video_id(video_id) for video_id in dict.fromkeys(ids)]
        with self._session.writing() as connection:
            removed = select_removed(connection, f"WHERE video_id {_ANY_OF}", chosen)
            # The files first: a row without its file is found again by the same command, a file alone would not be.
            forget_removals(self._session.storage, chosen)
            delete_rows(connection, "removed_videos", removed)
        return [video_id for video_id in chosen if video_id in removed]

    def rewrite(self) -> None:
        """Write the file anew, without the bytes that deleted rows left in it."""
        self._session.rewrite()

    def pool(self, name: str) -> Pool:
        """What the governor knows about a site."""
        with self._session.reading() as connection:
            return load_pool(connection, name)

    def pools(self) -> dict[str, Pool]:
        """What the governor knows about all sites."""
        with self._session.reading() as connection:
            return load_pools(connection)

    def change_pool(self, name: str, change: Callable[[Pool], tuple[Pool, Result]]) -> Result:
        """Replace what is known about a site by what `change` makes of it, alone; passes on its result."""
        with self._session.open() as connection:
            before = load_pool(connection, name)
            after, result = change(before)
            if after != before:
                save_pool(connection, name, after)
        return result

    def rebuild(self) -> RebuildReport:
        """Make the registry again from artifacts and events; works without a registry and with a damaged one.

        Raises:
            RegistryBusy: other processes held the registry for too long.
            InvalidData: the registry was made by a newer version.
        """
        return self._session.rebuild()

    def _add_videos(self, videos: Sequence[Video]) -> list[str]:
        with self._session.writing() as connection:
            before = load_ledger(connection, {video.video_id for video in videos})
            after = before.copy()
            for video in videos:
                after.apply(video)
            # Complete rows are published, so that the latest event about a video knows all that the registry knows.
            changed = [video for key, video in after.videos.items() if before.videos.get(key) != video]
            self._session.say(connection, changed)
        return [video.video_id for video in changed if video.video_id not in before.videos]


def _chunks(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), VIDEOS_PER_LOCK):
        yield items[start : start + VIDEOS_PER_LOCK]


def _where(conditions: Collection[str]) -> str:
    return f"WHERE {' AND '.join(conditions)}" if conditions else ""


def _checked_keyword(keyword: str) -> str:
    text = " ".join(keyword.split())
    if not text:
        raise InvalidData("a keyword is blank", remedy="give at least one word to search for")
    return text
