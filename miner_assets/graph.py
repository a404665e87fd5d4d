"""The asset graph over one workspace: every asset, job, sensor and resource, for Dagster's UI and the command line."""

import warnings

import dagster as dg

# Backfill policies are what makes one model load serve many videos; Dagster has called them beta since 1.8.
warnings.filterwarnings("ignore", category=dg.BetaWarning)
# The stages have different batch sizes on purpose (docs/adr/0002); the job of all of them takes the smallest.
warnings.filterwarnings("ignore", message="Asset job mine_videos materializes assets with varying")

from miner_assets import automation  # noqa: E402 (the filter above must come first)
from miner_assets.dataset import dataset  # noqa: E402
from miner_assets.detections import detections  # noqa: E402
from miner_assets.embeddings import embeddings  # noqa: E402
from miner_assets.execution import chosen_executor  # noqa: E402
from miner_assets.filtered_frames import filtered_frames  # noqa: E402
from miner_assets.frames import frames  # noqa: E402
from miner_assets.model_choice import device_settings  # noqa: E402
from miner_assets.search import search_results  # noqa: E402
from miner_assets.selected import mine_selected  # noqa: E402
from miner_assets.unique_frames import unique_frames  # noqa: E402
from miner_assets.videos import videos  # noqa: E402
from miner_assets.workspace import Workspace  # noqa: E402
from miner_resources.gpu_models import ImageEmbedders, ObjectDetectors, TextImageModels  # noqa: E402


def build_definitions(workspace: Workspace, executor: dg.ExecutorDefinition | None = None) -> dg.Definitions:
    """Everything over one workspace. The command line calls this with its own configuration.

    Args:
        workspace: the project.
        executor: of the steps of a run; None: the process of the run.
    """
    config = workspace.config
    how = device_settings(config)
    return dg.Definitions(
        assets=[
            search_results,
            videos,
            frames,
            filtered_frames,
            embeddings,
            detections,
            unique_frames,
            dataset,
        ],
        jobs=[automation.mine_videos, mine_selected, automation.build_dataset, automation.search_keyword],
        sensors=[automation.new_keywords, automation.new_videos, automation.finished_videos],
        schedules=[automation.refresh_searches],
        resources={
            "workspace": workspace,
            "text_image_model": TextImageModels(**how),
            "image_embedder": ImageEmbedders(**how),
            "object_detector": ObjectDetectors(**how),
        },
        executor=executor or chosen_executor(""),
    )
