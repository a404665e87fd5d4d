"""From words and URLs to registered videos: the asset `search_results`, and the registration of a run's own inputs."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg

from miner_assets.launchpad import launchpad_schema, with_overrides
from miner_assets.partitions import KEYWORDS
from miner_assets.workspace import Workspace
from miner_resources import web_video
from miner_resources.config import SearchConfig
from miner_resources.errors import NotFound
from miner_resources.records import Video
from miner_resources.registry.records import SearchResult
from miner_resources.storage import stable_hash
from miner_resources.video_source import Lost, find_videos, local_files, local_path, utc_now


@dataclass
class Registered:
    """What a run's inputs led to.

    Attributes:
        video_ids: videos named by the inputs, known or new, in registry order.
        new: those that were not known.
        lost: inputs that no video could be made of.
    """

    video_ids: list[str] = field(default_factory=list[str])
    new: list[str] = field(default_factory=list[str])
    lost: list[Lost] = field(default_factory=list[Lost])


def register_inputs(workspace: Workspace) -> Registered:
    """Register the videos of `urls` and `url_files`; what is known costs nothing."""
    config, now = workspace.config, utc_now()
    listed, lost = _read_url_files(config.url_files)
    sources = [*dict.fromkeys([*config.urls, *listed])]
    if not sources:
        return Registered(lost=lost)
    registered = workspace.catalog.videos()
    videos: dict[str, Video] = {}
    for found in find_videos(
        sources,
        registered=registered,
        list_url=lambda url: web_video.list_url(url, config.download, now),
        now=now,
    ):
        if isinstance(found, Lost):
            lost.append(found)
        else:
            videos.setdefault(found.video_id, found)
    new = workspace.catalog.add_videos(list(videos.values()))
    order = [video.video_id for video in workspace.catalog.videos(ids=list(videos))]
    return Registered(order, new, lost)


def known_inputs(workspace: Workspace) -> list[str]:
    """The videos of `urls` and `url_files` that are registered already; makes no request and hashes nothing."""
    config = workspace.config
    urls: set[str] = set()
    for source in [*config.urls, *_read_url_files(config.url_files)[0]]:
        path = local_path(source)
        try:
            urls.update([source] if path is None else [str(file) for file in local_files(path)])
        except NotFound:
            continue
    return [video.video_id for video in workspace.catalog.videos() if video.url in urls]


def _read_url_files(files: list[Path]) -> tuple[list[str], list[Lost]]:
    sources: list[str] = []
    lost: list[Lost] = []
    for file in files:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            lost.append(Lost(str(file), NotFound(f"{file} cannot be read: {error}", remedy="correct url_files")))
            continue
        stripped = (line.split(" #")[0].strip() for line in lines)
        sources += [line for line in stripped if line and not line.startswith("#")]
    return sources, lost


def _as_result(hit: web_video.SearchHit, now: datetime) -> SearchResult:
    video = hit.video
    return SearchResult(
        keyword=hit.keyword,
        video_id=video.video_id,
        rank=hit.rank,
        url=video.url,
        searched_at=now,
        title=video.title,
        channel=video.channel,
        duration_s=video.duration_s,
    )


@dg.asset(
    partitions_def=KEYWORDS,
    group_name="acquisition",
    kinds={"youtube"},
    pool="youtube",
    code_version="1",
    config_schema=launchpad_schema(SearchConfig),
)
def search_results(
    context: dg.AssetExecutionContext, workspace: dg.ResourceParam[Workspace]
) -> Iterator[dg.MaterializeResult[Any]]:
    """The videos that a keyword search finds, registered as pending; known and removed ones are left alone."""
    config = with_overrides(workspace.config.search, context.op_execution_context.op_config, "search")
    keyword, now = context.partition_key, utc_now()
    hits = web_video.search(keyword, config, workspace.config.download, now)
    new = workspace.catalog.add_videos([hit.video for hit in hits])
    workspace.catalog.add_search_results(keyword, [_as_result(hit, now) for hit in hits])
    found = [hit.video.video_id for hit in hits]
    yield dg.MaterializeResult(
        metadata={"rows": len(hits), "kept": len(new), "rejected": len(hits) - len(new)},
        data_version=dg.DataVersion(stable_hash(keyword, [*found])),
    )
