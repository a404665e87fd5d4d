"""From words and URLs to registered videos: the asset `search_results`, and the registration of a run's own inputs."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import dagster as dg

from miner_assets.launchpad import launchpad_schema, with_overrides
from miner_assets.metadata import table
from miner_assets.partitions import KEYWORDS
from miner_assets.workspace import Workspace
from miner_resources.config_sections import SearchConfig
from miner_resources.errors import NotFound, Waiting
from miner_resources.records import Json, Stage
from miner_resources.registry.records import Keyword, SearchResult
from miner_resources.storage import stable_hash
from miner_resources.video_source import LeftOut, Lost, find_videos, local_files, local_path, utc_now
from miner_resources.web.client import WebClient
from miner_resources.web.listing import Hit, list_url, search, youtube_video

TAKEN_DOWN: Final = "taken down from this project; `video-miner registry restore VIDEO_ID` undoes that"
"""Why an input is left out. It does not say which: nothing but the tombstone may name the video."""


@dataclass
class Registered:
    """What a run's inputs led to.

    Attributes:
        video_ids: videos named by the inputs, known or new, in registry order.
        new: those that were not known.
        left_out: entries of playlists and channels that the search filters did not take, by reason.
        lost: inputs that no video could be made of.
        waiting: inputs that could not be listed because their site wants a rest.
    """

    video_ids: list[str] = field(default_factory=list[str])
    new: list[str] = field(default_factory=list[str])
    left_out: Counter[str] = field(default_factory=Counter[str])
    lost: list[Lost] = field(default_factory=list[Lost])
    waiting: list[tuple[str, Waiting]] = field(default_factory=list[tuple[str, Waiting]])


def register_inputs(workspace: Workspace) -> Registered:
    """Register the videos of `urls` and `url_files`; what is known costs nothing."""
    listed, lost = _read_url_files(workspace.config.url_files)
    registered = register_sources(workspace, [*workspace.config.urls, *listed])
    registered.lost = lost + registered.lost
    return registered


def register_sources(workspace: Workspace, sources: Sequence[str]) -> Registered:
    """Register the videos behind files, folders and URLs."""
    config, catalog, now = workspace.config, workspace.catalog, workspace.storage.clock.now()
    found = Registered()
    if not sources:
        return found
    web, registered = workspace.web(Stage.SEARCH), catalog.videos()
    known = {video.video_id for video in registered} | catalog.removed_videos().keys()
    videos = {}
    for item in find_videos(
        list(dict.fromkeys(sources)),
        registered=registered,
        list_url=lambda url: list_url(web, url, config.search, now, known),
        now=now,
    ):
        if isinstance(item, Lost) and isinstance(item.error, Waiting):
            found.waiting.append((item.source, item.error))
        elif isinstance(item, Lost):
            found.lost.append(item)
        elif isinstance(item, LeftOut):
            found.left_out[item.reason] += 1
        else:
            videos.setdefault(item.video_id, item)
    if taken_down := len(catalog.removed_videos().keys() & videos.keys()):
        found.left_out[TAKEN_DOWN] += taken_down
    found.new = catalog.add_videos(list(videos.values()))
    found.video_ids = [video.video_id for video in catalog.videos(ids=list(videos))]
    return found


def known_inputs(workspace: Workspace) -> list[str]:
    """The videos of `urls` and `url_files` that are registered already; makes no request and hashes nothing."""
    config, now = workspace.config, utc_now()
    urls: set[str] = set()
    for source in [*config.urls, *_read_url_files(config.url_files)[0]]:
        path = local_path(source)
        try:
            single = youtube_video(source, now)
            here = [] if path is None else [str(file) for file in local_files(path)]
            urls.update(here or [single.url if single else source])
        except NotFound:
            continue
    return [video.video_id for video in workspace.catalog.videos() if video.url in urls]


def due_searches(workspace: Workspace, keywords: Sequence[str] | None = None) -> list[str]:
    """The watched keywords whose search is missing or was made with other filters.

    Keywords of the configuration are watched from then on, like those of the registry.

    Args:
        workspace: the project.
        keywords: only these, and also if their last search is too old; None for all that are watched.
    """
    config, catalog = workspace.config.search, workspace.catalog
    if config.keywords:
        catalog.add_keywords(config.keywords)
    watched = {row.keyword: row for row in catalog.keywords()}
    chosen = watched if keywords is None else dict.fromkeys(" ".join(keyword.split()) for keyword in keywords)
    oldest = None if keywords is None else utc_now() - timedelta(hours=config.refresh_hours)
    return [keyword for keyword in chosen if _is_due(watched[keyword], config, oldest)]


def _is_due(row: Keyword, config: SearchConfig, oldest: datetime | None) -> bool:
    if config.force or row.last_searched_at is None or row.last_settings != _settings(row, config):
        return True
    return oldest is not None and row.last_searched_at < oldest


def _settings(row: Keyword | None, config: SearchConfig) -> str:
    return stable_hash(config.settings, (row.max_results if row else None) or config.max_results)


def _read_url_files(files: list[Path]) -> tuple[list[str], list[Lost]]:
    sources: list[str] = []
    lost: list[Lost] = []
    for file in files:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:  # no text, or a zero byte in the name
            lost.append(Lost(str(file), NotFound(f"{file} cannot be read: {error}", remedy="correct url_files")))
            continue
        stripped = (line.split(" #")[0].strip() for line in lines)
        sources += [line for line in stripped if line and not line.startswith("#")]
    return sources, lost


def _as_result(keyword: str, hit: Hit, now: datetime) -> SearchResult:
    video = hit.video
    return SearchResult(
        keyword=keyword,
        video_id=video.video_id,
        rank=hit.rank,
        url=video.url,
        searched_at=now,
        title=video.title,
        channel=video.channel,
        duration_s=video.duration_s,
        reason=hit.reason,
    )


@dg.asset(
    partitions_def=KEYWORDS,
    group_name="acquisition",
    kinds={"youtube"},
    pool="youtube",
    code_version="2",
    config_schema=launchpad_schema(SearchConfig),
)
def search_results(
    context: dg.AssetExecutionContext, workspace: dg.ResourceParam[Workspace]
) -> Iterator[dg.MaterializeResult[Any]]:
    """The videos that a keyword search finds, registered as pending; known and removed ones are left alone.

    What the filters leave out is listed with the reason.
    """
    config = with_overrides(workspace.config.search, context.op_execution_context.op_config, "search")
    keyword, catalog = context.partition_key, workspace.catalog
    row = next((row for row in catalog.keywords() if row.keyword == keyword), None)
    filters = config.model_copy(update={"max_results": (row.max_results if row else None) or config.max_results})
    web = workspace.web(Stage.SEARCH, log=context.log.warning)
    hits, new = _search(workspace, web, keyword, filters, _settings(row, config))
    taken = [hit for hit in hits if hit.reason is None]
    yield dg.MaterializeResult(
        metadata={
            "rows": len(hits),
            "kept": len(taken),
            "rejected": len(hits) - len(taken),
            "new": len(new),
            "videos": _table(hits, set(new)),
        },
        data_version=dg.DataVersion(stable_hash(keyword, [hit.video.video_id for hit in hits])),
    )


def _search(
    workspace: Workspace, web: WebClient, keyword: str, filters: SearchConfig, settings: str
) -> tuple[list[Hit], list[str]]:
    """Search and register; what was found before the site wanted a rest is kept, and not asked for again."""
    catalog, now = workspace.catalog, workspace.storage.clock.now()
    row = next((row for row in catalog.keywords() if row.keyword == keyword), None)
    judged: dict[str, str | None] = {video.video_id: None for video in catalog.videos()}
    judged |= dict.fromkeys(catalog.removed_videos())
    if row is not None and row.last_settings == settings:
        judged |= {result.video_id: result.reason for result in catalog.search_results(keyword=keyword)}
    hits: list[Hit] = []
    new: list[str] = []
    complete = False
    try:
        for hit in search(web, keyword, filters, now, judged=judged):
            hits.append(hit)
        complete = True
    finally:
        new += catalog.add_videos([hit.video for hit in hits if hit.reason is None])
        results = [_as_result(keyword, hit, now) for hit in hits]
        catalog.add_search_results(keyword, results, settings=settings, complete=complete)
    return hits, new


def _table(hits: Sequence[Hit], new: set[str]) -> dg.MetadataValue[Any]:
    rows: list[tuple[Json, ...]] = []
    for hit in hits:
        video, duration = hit.video, hit.video.duration_s
        what = hit.reason or ("new" if video.video_id in new else "known")
        seconds = None if duration is None else round(duration)
        rows.append((hit.rank, video.video_id, video.title, video.channel, seconds, what, video.url))
    return table(("rank", "video", "title", "channel", "seconds", "taken", "url"), rows)
