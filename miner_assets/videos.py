"""The asset `videos`: each video on disk, checked that it is one, with its facts beside it."""

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg

from miner_assets.launchpad import launchpad_schema, with_overrides
from miner_assets.partitions import VIDEOS
from miner_assets.stage import run_stage
from miner_assets.video_stage import Outcome, Task
from miner_assets.workspace import Workspace
from miner_resources import events, web_video
from miner_resources.config import DownloadConfig
from miner_resources.errors import InvalidData, MinerError, NotFound
from miner_resources.records import Json, Stage, Video
from miner_resources.storage import ArtifactKeys, link
from miner_resources.video_facts import VideoFacts, read_facts, write_facts
from miner_resources.video_reader import VideoInfo, probe
from miner_resources.video_source import content_hash, local_path

FOUND = ("channel_id", "extractor", "format_id", "license", "upload_date", "uploader", "webpage_url")
"""What is kept of yt-dlp's facts: never signed URLs, headers or cookies."""


class DownloadStage:
    """Brings each video to disk: a hard link for a local file, yt-dlp for a URL."""

    stage = Stage.DOWNLOAD

    def __init__(self, workspace: Workspace, config: DownloadConfig) -> None:
        self.storage = workspace.storage
        self.config = config
        self.force = config.force

    def keys(self, video: Video) -> ArtifactKeys:
        """The content decides, so what is there is up to date."""
        return self.artifact_keys(video) or ArtifactKeys("", "")

    def artifact_keys(self, video: Video) -> ArtifactKeys | None:
        """Read from the facts beside the video, which are written last."""
        facts = read_facts(self.storage, video.video_id)
        return facts.keys if facts else None

    def work(self, tasks: Sequence[Task]) -> Iterator[Outcome]:
        """Fetch up to `max_concurrent` videos at a time; yields in the order in which they finish."""
        with ThreadPoolExecutor(self.config.max_concurrent, thread_name_prefix="download") as pool:
            futures = [pool.submit(self._fetch, task) for task in tasks]
            try:
                for future in as_completed(futures):
                    yield future.result()
            finally:
                pool.shutdown(cancel_futures=True)

    def _fetch(self, task: Task) -> Outcome:
        try:
            path = local_path(task.video.url)
            return self._link(task, path) if path else self._download(task)
        except MinerError as error:
            return Outcome(task, error=error)
        except OSError as error:
            reason = NotFound(
                f"{task.video.url}: {error.strerror}", remedy="check the path, its permissions and the disk"
            )
            return Outcome(task, error=reason)

    def _link(self, task: Task, source: Path) -> Outcome:
        if not source.is_file():
            raise NotFound(f"{source} is gone", remedy="put the file back, or remove the video from the registry")
        digest = content_hash(source)
        if task.video_id.startswith("file-") and task.video_id != f"file-{digest[:12]}":
            raise InvalidData(
                f"{source} has changed since it was registered as {task.video_id}",
                remedy="run again: the new content gets an id of its own",
            )
        return self._publish(task, source, digest, {})

    def _download(self, task: Task) -> Outcome:
        with self.storage.scratch(task.video_id) as folder:
            fetched, facts = web_video.download(task.video, folder, self.config)
            return self._publish(task, fetched, content_hash(fetched), facts)

    def _publish(self, task: Task, source: Path, digest: str, found: dict[str, Any]) -> Outcome:
        info = probe(source)
        suffix = re.sub(r"[^a-z0-9]", "", source.suffix.lower())[:5] or "video"
        size = source.stat().st_size
        metrics: dict[str, Json] = {"rows": 1, "kept": 1, "rejected": 0, "bytes": size, "frames": info.frame_count}
        facts = VideoFacts(
            video=_described(task.video, found, info),
            sha256=digest,
            size_bytes=size,
            width=info.width,
            height=info.height,
            fps=None if info.average_fps is None else round(float(info.average_fps), 6),
            frames=info.frame_count,
            codec=info.codec,
            metrics=metrics,
            source={key: found[key] for key in FOUND if found.get(key) is not None},
        )
        self.storage.discard(self.storage.info(task.video_id))
        with self.storage.publish_file(self.storage.new_video(task.video_id, suffix)) as target:
            link(source, target)
        write_facts(self.storage, facts)
        events.publish(self.storage, facts.video)
        return Outcome(replace(task, video=facts.video, keys=facts.keys), metrics)


def _described(video: Video, found: dict[str, Any], info: VideoInfo) -> Video:
    return replace(
        video,
        title=video.title or found.get("title"),
        channel=video.channel or found.get("channel") or found.get("uploader"),
        license=video.license or found.get("license"),
        duration_s=info.duration_s if info.duration_s is not None else video.duration_s,
    )


@dg.asset(
    partitions_def=VIDEOS,
    group_name="acquisition",
    kinds={"yt-dlp"},
    pool="youtube",
    code_version="1",
    output_required=False,
    backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=50),
    config_schema=launchpad_schema(DownloadConfig),
)
def videos(
    context: dg.AssetExecutionContext, workspace: dg.ResourceParam[Workspace]
) -> Iterator[dg.MaterializeResult[Any]]:
    """One video file for each partition, with its facts as JSON beside it.

    Local files are hard-linked, URLs are fetched by yt-dlp. What is no video, or cannot be opened, fails here.
    """
    config = with_overrides(workspace.config.download, context.op_execution_context.op_config, "download")
    yield from run_stage(context, workspace, DownloadStage(workspace, config))
