"""The asset `videos`: each video on disk, checked that it is one, with its facts beside it."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from miner_assets.checks import check_specs
from miner_assets.download_stage import DownloadStage
from miner_assets.execution import takes
from miner_assets.launchpad import launchpad_schema, with_overrides
from miner_assets.partitions import VIDEOS
from miner_assets.prescreen import Prescreen
from miner_assets.stage import run_stage
from miner_assets.workspace import Workspace
from miner_resources.config_sections import DownloadConfig
from miner_resources.gpu_models import TextImageModels
from miner_resources.records import Stage


@dg.asset(
    partitions_def=VIDEOS,
    group_name="acquisition",
    kinds={"yt-dlp"},
    pool="youtube",
    op_tags=takes(cpus=1),
    code_version="1",
    output_required=False,
    backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=50),
    check_specs=check_specs(Stage.DOWNLOAD, "videos"),
    config_schema=launchpad_schema(DownloadConfig),
)
def videos(
    context: dg.AssetExecutionContext, workspace: dg.ResourceParam[Workspace], text_image_model: TextImageModels
) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
    """One video file for each partition, with its facts as JSON beside it.

    Local files are hard-linked, URLs are fetched by yt-dlp. What is no video, or cannot be opened, fails here. A video
    whose site wants a rest stays pending: nobody's block makes it fail.
    """
    config = with_overrides(workspace.config.download, context.op_execution_context.op_config, "download")
    screen = Prescreen(workspace, text_image_model)
    yield from run_stage(context, workspace, DownloadStage(workspace, config, screen, log=context.log.warning))
