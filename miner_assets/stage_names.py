"""Which asset is which stage: the one list that the pipeline, the command line and the documentation share."""

from typing import Final

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
