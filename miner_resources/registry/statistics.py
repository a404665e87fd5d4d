"""The registry in numbers."""

import duckdb

from miner_resources.records import Stage, Status
from miner_resources.registry.ledger import DONE, FAILED, SKIPPED, WAITING
from miner_resources.registry.records import StageCounts, Statistics


def count_statistics(connection: duckdb.DuckDBPyConnection) -> Statistics:
    """Count videos and stages as they stand."""
    videos, duration_s, removed = connection.execute(
        "SELECT count(*), coalesce(sum(duration_s), 0), (SELECT count(*) FROM removed_videos) FROM videos"
    ).fetchall()[0]
    by_status = dict(connection.execute("SELECT status, count(*) FROM videos GROUP BY status").fetchall())
    stages = connection.execute(
        "SELECT stage, count(*) FILTER (status = ?), count(*) FILTER (status = ?), "
        "count(*) FILTER (status = ?), count(*) FILTER (status = ?) FROM stages GROUP BY stage",
        [DONE, FAILED, WAITING, SKIPPED],
    ).fetchall()
    by_keyword = connection.execute(
        "SELECT keyword, count(video_id) FROM (SELECT keyword FROM keywords UNION SELECT source_keyword "
        "FROM videos WHERE source_keyword IS NOT NULL) AS known (keyword) "
        "LEFT JOIN videos ON source_keyword = keyword GROUP BY keyword ORDER BY keyword"
    ).fetchall()
    by_stage = {
        name: StageCounts(done=done, failed=failed, waiting=waiting, skipped=skipped)
        for name, done, failed, waiting, skipped in stages
    }
    return Statistics(
        videos=videos,
        duration_s=duration_s,
        removed=removed,
        by_status={status: by_status[status] for status in Status if status in by_status},
        by_stage={stage: by_stage[stage] for stage in Stage if stage in by_stage},
        by_keyword=dict(by_keyword),
    )
