"""The per-video stages by name."""

from miner_assets.detections import DetectStage
from miner_assets.download_stage import DownloadStage
from miner_assets.embeddings import EmbedStage
from miner_assets.filtered_frames import FilterStage
from miner_assets.frames import ExtractStage
from miner_assets.model_choice import device_settings
from miner_assets.prescreen import Prescreen
from miner_assets.video_stage import VideoStage
from miner_assets.workspace import Workspace
from miner_resources.gpu_models import ImageEmbedders, ObjectDetectors, TextImageModels
from miner_resources.records import Stage


def video_stage(stage: Stage, workspace: Workspace) -> VideoStage:
    """A per-video stage as configured; models are loaded when it works, not when it is asked what is up to date."""
    config = workspace.config
    how = device_settings(config)
    makers = {
        Stage.DOWNLOAD: lambda: DownloadStage(workspace, config.download, Prescreen(workspace, TextImageModels(**how))),
        Stage.EXTRACT: lambda: ExtractStage(workspace, config.extraction),
        Stage.FILTER: lambda: FilterStage(workspace, config.filter, TextImageModels(**how)),
        Stage.EMBED: lambda: EmbedStage(workspace, config.dedup, ImageEmbedders(**how)),
        Stage.DETECT: lambda: DetectStage(workspace, config.detection, ObjectDetectors(**how)),
    }
    return makers[stage]()
