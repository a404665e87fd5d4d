"""One model load for a scattered backfill.

Dagster makes a run of each contiguous stretch of partitions, so that retrying thirty videos here and there makes thirty
runs, and would load a model thirty times. The first run of a backfill therefore takes along what its sisters wait for:
when their turn comes they find the work done. It is only ever an advance: what does not come about is left to them.
"""

from typing import Final

import dagster as dg

from miner_assets.partitions import VIDEOS, partitions_of

BACKFILL: Final = "dagster/backfill"

_WAITING: Final = [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.QUEUED]
_RUNNING: Final = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]


def queued_sisters(context: dg.AssetExecutionContext) -> list[str]:
    """Partitions that queued runs of the same backfill will be about, as many as fit into one run.

    None if another run of the backfill is at work on the same assets: it has taken them along.
    """
    run, policy = context.run, context.assets_def.backfill_policy
    most = policy.max_partitions_per_run if policy else None
    if BACKFILL not in run.tags or most is None:
        return []
    found = context.instance.get_runs(
        dg.RunsFilter(tags={BACKFILL: run.tags[BACKFILL]}, statuses=[*_RUNNING, *_WAITING], job_name=run.job_name)
    )
    sisters = [other for other in found if other.run_id != run.run_id and other.asset_selection == run.asset_selection]
    if any(other.status in _RUNNING for other in sisters):
        return []
    own = set(context.partition_keys)
    keys = partitions_of(reversed(sisters), context.instance.get_dynamic_partitions(str(VIDEOS.name)))
    return [key for key in dict.fromkeys(keys) if key not in own][: max(0, most - len(own))]
