"""The facts beside each video, `videos/{video_id}.info.json`: written last, so they mean a complete download."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from miner_resources.errors import InvalidData
from miner_resources.records import Json, Video
from miner_resources.registry.record_json import Fields, read_json, video_from_json
from miner_resources.storage import ArtifactKeys, Storage


@dataclass(frozen=True, kw_only=True)
class VideoFacts:
    """What is known about a downloaded video.

    Attributes:
        fps: average frames per second, None where the container does not say.
        keys: compute key `sha256:…` of the content; the download takes no decisions.
        source: facts from the site, as yt-dlp names them.
    """

    video: Video
    sha256: str
    size_bytes: int
    width: int
    height: int
    fps: float | None
    frames: int
    codec: str
    metrics: Mapping[str, Json] = field(default_factory=dict[str, Json])
    source: Mapping[str, Json] = field(default_factory=dict[str, Json])

    @property
    def keys(self) -> ArtifactKeys:
        """The artifact keys of the download."""
        return ArtifactKeys(f"sha256:{self.sha256}", "")


def write_facts(storage: Storage, facts: VideoFacts) -> None:
    """Publish the facts of a video that is already in place."""
    video = facts.video
    record: dict[str, Json] = {
        "video_id": video.video_id,
        "url": video.url,
        "title": video.title,
        "channel": video.channel,
        "duration_s": video.duration_s,
        "license": video.license,
        "trainable": video.trainable,
        "source_keyword": video.source_keyword,
        "added_at": video.added_at.isoformat(),
        "source_size": video.source_size,
        "source_mtime_ns": video.source_mtime_ns,
        "sha256": facts.sha256,
        "size_bytes": facts.size_bytes,
        "width": facts.width,
        "height": facts.height,
        "fps": facts.fps,
        "frames": facts.frames,
        "codec": facts.codec,
        "compute_key": facts.keys.compute,
        "decision_key": facts.keys.decision,
        "metrics": dict(facts.metrics),
        "source": dict(facts.source),
    }
    with storage.publish_file(storage.info(video.video_id)) as target:
        target.write_text(json.dumps(record, indent=1, sort_keys=True), encoding="utf-8")


def read_facts(storage: Storage, video_id: str) -> VideoFacts | None:
    """The facts of a video, None if it is not downloaded.

    Raises:
        InvalidData: the file is there but cannot be read.
    """
    path = storage.info(video_id)
    if storage.video(video_id) is None:
        return None
    remedy = "delete it and run the stage 'download'"
    try:
        source = read_json(path.read_bytes(), where=str(path))
    except OSError as error:
        raise InvalidData(f"{path} cannot be read: {error}", remedy=remedy) from error
    if source.get("video_id") != video_id:
        raise InvalidData(f"{path} speaks of another video, {source.get('video_id')!r}", remedy=remedy)
    fields = Fields(source, where=str(path))
    facts = VideoFacts(
        video=video_from_json(source, where=str(path)),
        sha256=fields.required(fields.text("sha256"), "sha256"),
        size_bytes=fields.required(fields.integer("size_bytes"), "size_bytes"),
        width=fields.required(fields.integer("width"), "width"),
        height=fields.required(fields.integer("height"), "height"),
        fps=fields.number("fps"),
        frames=fields.required(fields.integer("frames"), "frames"),
        codec=fields.required(fields.text("codec"), "codec"),
        metrics=cast("dict[str, Json]", fields.mapping("metrics")),
        source=cast("dict[str, Json]", fields.mapping("source")),
    )
    fields.check()
    return facts
