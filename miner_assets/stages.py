"""Which asset is which stage: the one list that the pipeline, the command line and the documentation share."""

from typing import Final

from miner_assets.detections import DetectStage
from miner_assets.download_stage import DownloadStage
from miner_assets.embeddings import EmbedStage
from miner_assets.filtered_frames import FilterStage
from miner_assets.frames import ExtractStage
from miner_assets.model_choice import device_settings
from miner_assets.video_stage import VideoStage
from miner_assets.workspace import Workspace
from miner_resources.gpu_models import ImageEmbedders, ObjectDetectors, TextImageModels
from miner_resources.records import Stage

ASSETS: Final = {
    Stage.SEARCH: "search_results",
    Stage.DOWNLOAD: "videos",
    Stage.EXTRACT: "frames",
    Stage.FILTER: "filtered_frames",
    Stage.EMBED: "embeddings",
    Stage.DETECT: "detections",
    Stage.DEDUP: "unique_frames",
    Stage.DATASET: "dataset",
}


def asset_key(stage: Stage) -> str:
    """The asset that a stage materializes."""
    return ASSETS[stage]


def video_stage(stage: Stage, workspace: Workspace) -> VideoStage:
    """A per-video stage as configured, for asking what is up to date; no model is loaded for that."""
    config = workspace.config
    how = device_settings(config)
    makers = {
        Stage.DOWNLOAD: lambda: DownloadStage(workspace, config.download),
        Stage.EXTRACT: lambda: ExtractStage(workspace, config.extraction),
        Stage.FILTER: lambda: FilterStage(workspace, config.filter, TextImageModels(**how)),
        Stage.EMBED: lambda: EmbedStage(workspace, config.dedup, ImageEmbedders(**how)),
        Stage.DETECT: lambda: DetectStage(workspace, config.detection, ObjectDetectors(**how)),
    }
    return makers[stage]()
