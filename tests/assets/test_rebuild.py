"""`video-miner dataset rebuild`: the same pictures again, from files at hand and through the real yt-dlp."""

import hashlib
import json
import shutil
from collections.abc import Generator
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import av
import polars as pl
import pytest

from miner_assets.logic.coco import DATASET_FRAMES_SCHEMA, SourceVideo, build_coco
from miner_assets.logic.coco_checks import check_coco
from miner_assets.logic.coco_format import Coco, read_coco, write_coco
from miner_assets.logic.exports.formats import export
from miner_assets.logic.exports.options import Encoding, ExportOptions
from miner_assets.logic.exports.snapshot import read_snapshot
from miner_resources.images import encode_image
from miner_resources.records import DETECTIONS_SCHEMA, Video
from miner_resources.video_index import read_index
from miner_resources.video_reader import decode_frames
from miner_resources.video_source import content_hash
from tests.assets.test_cli import invoke
from tests.loopback import MediaServer
from tests.video_factory import write_video

WANTED = (0, 7, 21)


@dataclass
class World:
    """A dataset of two videos, one on a web server and one local file, and its manifest."""

    server: MediaServer
    served: Path
    local: Path
    manifest: Path
    coco: Coco
    images: Path


def local_id(path: Path) -> str:
    return f"file-{content_hash(path)[:12]}"


def mine(path: Path, video_id: str, images: Path) -> list[tuple[object, ...]]:
    """Rows of `DATASET_FRAMES_SCHEMA` of the wanted frames."""
    index, rows = read_index(path), []
    base = index.time_base
    for frame in decode_frames(path, index, WANTED):
        name = f"{video_id}__frame_{frame.frame_index:06d}.jpg"
        data = encode_image(frame.rgb, "jpg", 90)
        (images / name).write_bytes(data)
        when = (frame.pts, base.numerator, base.denominator, float(frame.pts * base))
        rows.append((video_id, frame.frame_index, name, *when, 64, 48, hashlib.sha256(data).hexdigest(), "train"))
    return rows


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[World]:
    (tmp_path / "private.yaml").write_text("download: {allow_private: true}")
    monkeypatch.setenv("VIDEO_MINER_CONFIG", str(tmp_path / "private.yaml"))
    images = tmp_path / "mined" / "images"
    for folder in (images, tmp_path / "served", tmp_path / "local"):
        folder.mkdir(parents=True)
    served = write_video(tmp_path / "served" / "clip.mp4", frames=30)
    local = write_video(tmp_path / "local" / "holiday.mp4", frames=25, fps=25)
    with MediaServer(served.parent).running() as server:
        ids = {"generic-clip": f"{server.url}/ok/clip.mp4", local_id(local): str(local)}
        rows = [*mine(served, "generic-clip", images), *mine(local, local_id(local), images)]
        boxes = [(row[0], row[1], "car", 0.5, 6.0, 9.0, 30.0, 12.0, "demo", "a car") for row in rows]
        at = datetime(2026, 1, 1, tzinfo=UTC)
        videos = [Video(video_id=name, url=url, added_at=at) for name, url in ids.items()]
        coco = build_coco(
            [SourceVideo(video, 64, 48, Fraction(10)) for video in videos],
            pl.DataFrame(rows, schema=DATASET_FRAMES_SCHEMA, orient="row"),
            pl.DataFrame(boxes, schema=DETECTIONS_SCHEMA, orient="row"),
            classes=["car"],
        )
        write_coco(images.parent / "annotations.json", coco)
        snapshot = read_snapshot(images.parent / "annotations.json", images)
        options = ExportOptions(encoding=Encoding("jpg", 90))
        export(snapshot, "manifest", str(tmp_path / "manifest"), options, lambda _: None)
        yield World(server, served, local, tmp_path / "manifest", coco, images)


def rebuild(world: World, target: Path, *more: object, code: int = 0) -> str:
    return invoke("dataset", "rebuild", world.manifest, target, "-O", target.parent / "no-project", *more, code=code)


def counts(target: Path) -> dict[str, list[str]]:
    """Video → results of its pictures."""
    report = json.loads((target / "rebuild.json").read_text())
    return {video["video_id"]: [one["result"] for one in video["pictures"]] for video in report["videos"]}


def encode_again(source: Path, target: Path, width: int, height: int, frames: int | None = None) -> None:
    """Another encode of the same video: smaller, in another container with another time base."""
    index = read_index(source)
    with av.open(str(target), "w", format="matroska") as container:
        stream = container.add_stream("libx264" if "libx264" in av.codecs_available else "mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in decode_frames(source, index, range(frames or len(index))):
            picture = av.VideoFrame.from_ndarray(frame.rgb, format="rgb24")
            container.mux(stream.encode(picture.reformat(width=width, height=height, format="yuv420p")))
        container.mux(stream.encode())


def test_the_same_files_give_the_same_dataset(world: World, tmp_path: Path) -> None:
    target = tmp_path / "rebuilt"
    said = rebuild(world, target)
    assert "6 of 6 pictures are back" in said
    assert {result for results in counts(target).values() for result in results} == {"exact"}
    assert read_coco(target / "annotations.json") == world.coco
    for image in world.coco["images"]:
        again = (target / "images" / image["file_name"]).read_bytes()
        assert again == (world.images / image["file_name"]).read_bytes()
    assert any(path.endswith("clip.mp4") for path in world.server.requests)
    assert not list((target / ".rebuild").rglob("*.mp4"))
    assert not (tmp_path / "no-project").exists()

    asked = len(world.server.requests)
    rebuild(world, target)
    assert len(world.server.requests) == asked, "what is there is not fetched again"


def test_another_encode_is_similar_and_its_boxes_are_scaled(world: World, tmp_path: Path) -> None:
    again = tmp_path / "again.mkv"
    encode_again(world.served, again, 96, 72)
    again.replace(world.served)
    target = tmp_path / "rebuilt"
    rebuild(world, target)
    assert counts(target)["generic-clip"] == ["similar"] * 3
    coco = read_coco(target / "annotations.json")
    assert check_coco(coco, files={path.name for path in (target / "images").iterdir()}) == []
    image = next(image for image in coco["images"] if image["file_name"].startswith("generic"))
    box = next(box for box in coco["annotations"] if box["image_id"] == image["id"])
    assert (image["width"], image["height"]) == (96, 72)
    assert box["bbox"] == [9.0, 13.5, 45.0, 18.0]
    data = (target / "images" / image["file_name"]).read_bytes()
    assert hashlib.sha256(data).hexdigest() == image["sha256"]


def test_what_is_lost_is_reported_and_the_rest_is_whole(world: World, tmp_path: Path) -> None:
    kept = tmp_path / "kept.mp4"
    shutil.copy(world.served, kept)
    encode_again(kept, world.served, 64, 48, frames=10)
    world.local.unlink()
    target = tmp_path / "rebuilt"
    said = rebuild(world, target, code=1)
    lost = next(name for name in counts(target) if name.startswith("file-"))
    assert counts(target) == {"generic-clip": ["similar", "similar", "gone"], lost: ["gone"] * 3}
    assert "is gone or has changed" in said
    coco = read_coco(target / "annotations.json")
    assert check_coco(coco, files={path.name for path in (target / "images").iterdir()}) == []
    assert [video["name"] for video in coco["videos"]] == ["generic-clip"]

    shutil.copy(kept, world.served)
    (tmp_path / "elsewhere").mkdir()
    write_video(tmp_path / "elsewhere" / "renamed.mp4", frames=25, fps=25)
    rebuild(world, target, "--videos", tmp_path / "elsewhere")
    assert read_coco(target / "annotations.json") == world.coco


def test_another_video_at_the_same_address_is_not_taken_for_it(world: World, tmp_path: Path) -> None:
    other = tmp_path / "other.mp4"
    with av.open(str(other), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for frame in decode_frames(world.served, read_index(world.served), range(30)):
            flipped = av.VideoFrame.from_ndarray(frame.rgb[::-1].copy(), format="rgb24")
            container.mux(stream.encode(flipped))
        container.mux(stream.encode())
    other.replace(world.served)
    target = tmp_path / "rebuilt"
    rebuild(world, target, code=1)
    assert counts(target)["generic-clip"] == ["different"] * 3
    assert not list((target / "images").glob("generic*"))


def test_a_video_that_is_not_there_any_more(world: World, tmp_path: Path) -> None:
    world.served.unlink()
    (world.served.parent / "clip.mp4").write_bytes(b"not a video at all" * 100)
    target = tmp_path / "rebuilt"
    said = rebuild(world, target, code=1)
    assert counts(target)["generic-clip"] == ["gone"] * 3
    assert "3 of 6 pictures are back" in said


def test_a_manifest_behind_a_url_and_videos_at_hand(world: World, tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    shutil.copy(world.served, videos / "generic-clip.mp4")
    before = len(world.server.requests)
    invoke("dataset", "rebuild", f"file://{world.manifest}", tmp_path / "rebuilt", "--videos", videos)
    assert len(world.server.requests) == before
    assert read_coco(tmp_path / "rebuilt" / "annotations.json") == world.coco


def test_a_folder_with_something_else_is_left_alone(world: World, tmp_path: Path) -> None:
    target = tmp_path / "mine"
    target.mkdir()
    (target / "thesis.txt").write_text("precious")
    said = rebuild(world, target, code=1)
    assert "holds something else" in said
    assert [path.name for path in target.iterdir()] == ["thesis.txt"]


def test_a_manifest_cannot_lead_into_private_networks(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VIDEO_MINER_CONFIG")
    target = tmp_path / "rebuilt"
    said = rebuild(world, target, code=1)
    assert counts(target)["generic-clip"] == ["gone"] * 3
    assert "private network" in " ".join(said.split())
    assert world.server.requests == []
