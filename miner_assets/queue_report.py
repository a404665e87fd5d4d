"""What waits for which site, in words for people: the command line and the sensors say the same."""

import time
from collections import Counter
from datetime import UTC, datetime

from miner_resources.catalog import Catalog
from miner_resources.governor import clock_time, describe
from miner_resources.pacing import pool_of
from miner_resources.records import Stage, Status
from miner_resources.registry.ledger import WAITING
from miner_resources.video_source import local_path


def queue_report(catalog: Catalog) -> list[str]:
    """One line for each site that cools down or has videos queued, and one for videos that wait by themselves."""
    now = time.time()
    queued = queued_by_pool(catalog)
    pools = catalog.pools()
    lines: list[str] = []
    for name in sorted(queued.keys() | {name for name, pool in pools.items() if now < pool.cooling_until}):
        pool = pools.get(name)
        state = f"{name} is open" if pool is None else describe(name, pool, now)
        reason = f" ({pool.reason})" if pool is not None and now < pool.cooling_until else ""
        lines.append(f"{state}, {queued[name]} queued{reason}")
    waits = {video_id: until for video_id, until in retry_times(catalog).items() if until.timestamp() > now}
    if waits:
        soonest = clock_time(min(waits.values()).timestamp(), now)
        lines.append(f"{len(waits)} videos wait for another try, the first at {soonest}")
    return lines


def queued_by_pool(catalog: Catalog) -> Counter[str]:
    """Site → videos that are still to be downloaded from it."""
    pending = [*catalog.videos(status=Status.PENDING), *catalog.videos(status=Status.DOWNLOADING)]
    return Counter(pool_of(video.url) for video in pending if local_path(video.url) is None)


def retry_times(catalog: Catalog) -> dict[str, datetime]:
    """Videos whose download is to be tried again → when."""
    records = catalog.stage_records(stage=Stage.DOWNLOAD)
    return {
        record.video_id: datetime.fromisoformat(str(record.metrics["retry_at"])).astimezone(UTC)
        for record in records
        if record.status == WAITING and "retry_at" in record.metrics
    }
