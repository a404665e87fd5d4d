"""The funnel of a project, from what the stages said and from its dataset."""

from collections import Counter

from miner_assets.logic.coco_format import Coco
from miner_assets.logic.funnel import Came, FunnelRow, by_keyword
from miner_assets.workspace import Workspace
from miner_resources.records import Stage
from miner_resources.registry.ledger import DONE


def count_funnel(workspace: Workspace, coco: Coco) -> list[FunnelRow]:
    """One row per keyword; numbers of stages are those of the registry, `unique` and `boxes` those of the dataset."""
    catalog = workspace.catalog
    numbers: dict[tuple[str, Stage], dict[str, int]] = {}
    for record in catalog.stage_records():
        if record.status == DONE:
            counts = {name: value for name, value in record.metrics.items() if isinstance(value, int)}
            numbers[record.video_id, record.stage] = counts
    names = {video["id"]: video["name"] for video in coco["videos"]}
    of_image = {image["id"]: names[image["video_id"]] for image in coco["images"]}
    unique, boxes = Counter(of_image.values()), Counter(of_image[box["image_id"]] for box in coco["annotations"])
    videos = catalog.videos()
    came = {
        video.video_id: Came(
            downloaded=(video.video_id, Stage.DOWNLOAD) in numbers,
            frames=numbers.get((video.video_id, Stage.EXTRACT), {}).get("rows", 0),
            kept=numbers.get((video.video_id, Stage.FILTER), {}).get("kept", 0),
            unique_in_video=numbers.get((video.video_id, Stage.EMBED), {}).get("kept", 0),
            unique=unique[video.video_id],
            boxes=boxes[video.video_id],
        )
        for video in videos
    }
    return by_keyword(catalog.search_results(), videos, came)
