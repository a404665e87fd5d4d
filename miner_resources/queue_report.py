"""What waits for which site, in words for people: progress bars, `registry status`, doctor and sensors say the same."""

import time
from collections import Counter
from datetime import UTC, datetime

from miner_resources.catalog import Catalog
from miner_resources.pacing import NO_SITE, Pool, pool_of
from miner_resources.records import Stage, StageRecord, Status
from miner_resources.registry.ledger import WAITING


def queue_report(catalog: Catalog) -> list[str]:
    """One line for each site that cools down or has videos queued, and one for videos that wait by themselves."""
    now, queued, pools = time.time(), queued_by_pool(catalog), catalog.pools()
    lines: list[str] = []
    for name in sorted(queued.keys() | {name for name, pool in pools.items() if now < pool.cooling_until}):
        pool = pools.get(name, Pool())
        reason = f" ({pool.reason})" if now < pool.cooling_until else ""
        lines.append(f"{describe(name, pool, now, queued[name])}{reason}")
    # Those that wait because of a cool-down are among the queued already.
    own = {record.video_id for record in _waiting(catalog) if "cooling" not in record.metrics}
    times = {video_id: until.timestamp() for video_id, until in retry_times(catalog).items() if video_id in own}
    if waits := [moment for moment in times.values() if moment > now]:
        lines.append(f"{len(waits)} videos wait for another try, the first at {clock_time(min(waits), now)}")
    return lines


def queued_by_pool(catalog: Catalog) -> Counter[str]:
    """Site → videos that are still to be downloaded from it."""
    pending = [*catalog.videos(status=Status.PENDING), *catalog.videos(status=Status.DOWNLOADING)]
    pools = (pool_of(video.url) for video in pending)
    return Counter(pool for pool in pools if pool != NO_SITE)


def retry_times(catalog: Catalog) -> dict[str, datetime]:
    """Videos whose download is to be tried again → when."""
    return {
        record.video_id: datetime.fromisoformat(str(record.metrics["retry_at"])).astimezone(UTC)
        for record in _waiting(catalog)
    }


def _waiting(catalog: Catalog) -> list[StageRecord]:
    records = catalog.stage_records(stage=Stage.DOWNLOAD)
    return [record for record in records if record.status == WAITING and "retry_at" in record.metrics]


def describe(pool: str, state: Pool, now: float, queued: int) -> str:
    """Whether a site is cooling, until when, and how many videos want something of it."""
    stand = f"cooling until {clock_time(state.cooling_until, now)}" if now < state.cooling_until else "open"
    return f"{pool} is {stand}, {queued} queued"


def clock_time(moment: float, now: float) -> str:
    """A time of day on this machine's clock, with the date if it is not within a day."""
    local = datetime.fromtimestamp(moment).astimezone()
    return f"{local:%H:%M}" if moment - now < 86400 else f"{local:%Y-%m-%d %H:%M}"
