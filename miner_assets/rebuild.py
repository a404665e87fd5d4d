"""Making a dataset again from its manifest: fetch each video, decode exactly the frames, say what came back.

Each video's outcome is written down as it ends, so that a rebuild that was stopped, or one of whose videos could not be
reached, goes on where it was. `annotations.json` is written last, over the pictures that came back.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final, Literal

from miner_assets.logic.coco_format import Coco, CocoVideo, Image, write_coco
from miner_assets.logic.exports.manifest import Manifest
from miner_assets.logic.exports.matching import frame_at
from miner_assets.logic.exports.recovered import recovered_coco
from miner_resources.errors import InvalidData, MinerError, NotConfigured
from miner_resources.images import encode_image, limit_side
from miner_resources.likeness import SAME_PICTURE, difference, thumbnail
from miner_resources.local_videos import LocalVideos
from miner_resources.records import Rgb, Video
from miner_resources.storage import Storage, stable_hash
from miner_resources.video_index import read_index
from miner_resources.video_reader import decode_frames
from miner_resources.video_source import utc_now
from miner_resources.web.addresses import NOBODY
from miner_resources.web.client import WebClient
from miner_resources.web.fetch import fetch
from miner_resources.web.trouble import SourceFailed, Trouble

REPORT: Final = "rebuild.json"
WORK: Final = ".rebuild"

Result = Literal["exact", "similar", "different", "gone"]


@dataclass(frozen=True)
class Picture:
    """What became of one picture.

    Attributes:
        result: exact: the same bytes. similar: the same frame from another encode. different: another picture is at
            that time. gone: there is no video, or no frame at that time.
        difference: in levels of grey between the thumbnails, None where there is nothing to compare.
    """

    file_name: str
    result: Result
    sha256: str | None = None
    width: int = 0
    height: int = 0
    difference: float | None = None

    @property
    def is_back(self) -> bool:
        """Whether there is a picture for the dataset."""
        return self.result in ("exact", "similar")


@dataclass(frozen=True)
class VideoOutcome:
    """What became of the pictures of one video; `reason` says why it could not be had."""

    video_id: str
    url: str
    pictures: tuple[Picture, ...]
    reason: str | None = None

    def count(self, result: Result) -> int:
        """How many pictures ended like that."""
        return sum(picture.result == result for picture in self.pictures)


class Rebuild:
    """One manifest becoming a folder with `annotations.json`, `images/` and `rebuild.json`.

    Args:
        manifest: what is to be made.
        folder: where; empty, or an earlier rebuild of the same manifest.
        client: makes the way to the web for a working folder.
        videos: a folder of video files that need not be fetched, named by their id (as a project's `videos/`) or, for
            what was a local file, by anything.
        advance: hears of pictures that are done.
    """

    def __init__(
        self,
        manifest: Manifest,
        folder: Path,
        *,
        client: Callable[[Storage], WebClient],
        videos: Path | None = None,
        advance: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._manifest = manifest
        self._folder = folder.absolute()
        self._pictures = self._folder / "images"
        self._work = Storage(self._folder / WORK)
        self._client = client
        self._local = LocalVideos(videos)
        self._advance = advance

    def run(self) -> list[VideoOutcome]:
        """Make it, or what is missing of it.

        Raises:
            InvalidData: the folder holds something else.
            NotConfigured: what every video needs is missing.
        """
        self._claim()
        wanted: dict[int, list[Image]] = {}
        for image in self._manifest.coco["images"]:
            wanted.setdefault(image["video_id"], []).append(image)
        known = {video["id"]: video for video in self._manifest.coco["videos"]}
        client = self._client(self._work)
        outcomes: list[VideoOutcome] = []
        with ThreadPoolExecutor(client.download.max_concurrent, thread_name_prefix="rebuild") as pool:
            futures = [pool.submit(self._video, client, known[video], images) for video, images in wanted.items()]
            try:
                outcomes += [future.result() for future in as_completed(futures)]
            finally:
                client.stop.set()
                pool.shutdown(cancel_futures=True)
        outcomes.sort(key=lambda outcome: outcome.video_id)
        self._finish(outcomes)
        return outcomes

    def _claim(self) -> None:
        mark = self._work.root / "manifest"
        key = stable_hash(sorted(image["sha256"] for image in self._manifest.coco["images"]))
        there = list(self._folder.iterdir()) if self._folder.is_dir() else []
        if self._folder.is_file() or (there and (not mark.exists() or mark.read_text(encoding="utf-8") != key)):
            raise InvalidData(
                f"{self._folder} holds something else", remedy="name a new folder, or that of the same rebuild"
            )
        self._pictures.mkdir(parents=True, exist_ok=True)
        with self._work.publish_file(mark) as target:
            target.write_text(key, encoding="utf-8")

    def _video(self, client: WebClient, video: CocoVideo, images: Sequence[Image]) -> VideoOutcome:
        outcome = self._finished(video, images)
        if outcome is None:
            outcome = self._made(client, video, images)
            with self._work.publish_file(self._note(video["name"])) as target:
                target.write_text(json.dumps(asdict(outcome)), encoding="utf-8")
        self._advance(len(images))
        return outcome

    def _note(self, video_id: str) -> Path:
        return self._work.root / "outcomes" / f"{video_id}.json"

    def _finished(self, video: CocoVideo, images: Sequence[Image]) -> VideoOutcome | None:
        """An outcome of an earlier run in which every picture came back and is still there."""
        try:
            found = json.loads(self._note(video["name"]).read_text(encoding="utf-8"))
            pictures = tuple(Picture(**one) for one in found["pictures"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        whole = all(one.is_back and (self._pictures / one.file_name).is_file() for one in pictures)
        same = {one.file_name for one in pictures} == {image["file_name"] for image in images}
        return VideoOutcome(video["name"], video["url"], pictures) if whole and same else None

    def _made(self, client: WebClient, video: CocoVideo, images: Sequence[Image]) -> VideoOutcome:
        try:
            with self._file(client, video) as path:
                pictures = self._decoded(path, images)
        except NotConfigured:
            raise
        except MinerError as error:
            if isinstance(error, SourceFailed) and error.trouble is Trouble.SETUP:
                raise
            gone = tuple(Picture(image["file_name"], "gone") for image in images)
            return VideoOutcome(video["name"], video["url"], gone, f"{error.kind}: {error.message}")
        return VideoOutcome(video["name"], video["url"], pictures)

    @contextmanager
    def _file(self, client: WebClient, video: CocoVideo) -> Generator[Path]:
        """The video's file; a download is removed when its frames are there."""
        there = self._local.find(video["name"], video["url"])
        if there is not None:
            yield there
            return
        if not client.download.allow_private:
            NOBODY.check(video["url"])
        folder = self._work.partial(video["name"])
        row = Video(video_id=video["name"], url=video["url"], added_at=utc_now())
        yield fetch(client, row, folder).path
        self._work.discard(folder)

    def _decoded(self, path: Path, images: Sequence[Image]) -> tuple[Picture, ...]:
        index = read_index(path)
        wanted: dict[int, list[Image]] = {}
        done: list[Picture] = []
        for image in images:
            place = frame_at(index, image["pts"], Fraction(image["time_base"]))
            if place is None:
                done.append(Picture(image["file_name"], "gone"))
            else:
                wanted.setdefault(place, []).append(image)
        for frame in decode_frames(path, index, sorted(wanted)):
            done += [self._compared(image, frame.rgb) for image in wanted.pop(frame.frame_index)]
        done += [Picture(image["file_name"], "gone") for left in wanted.values() for image in left]
        return tuple(sorted(done, key=lambda picture: picture.file_name))

    def _compared(self, image: Image, rgb: Rgb) -> Picture:
        encoding, name = self._manifest.encoding, image["file_name"]
        rgb = limit_side(rgb, encoding.max_side)
        data = encode_image(rgb, encoding.format, encoding.quality)
        digest = hashlib.sha256(data).hexdigest()
        off = round(difference(thumbnail(data), self._manifest.thumbnails[name]), 3)
        same: Result = "exact" if digest == image["sha256"] else "similar" if off <= SAME_PICTURE else "different"
        picture = Picture(name, same, digest, rgb.shape[1], rgb.shape[0], off)
        if picture.is_back:
            with self._work.publish_file(self._pictures / name) as target:
                target.write_bytes(data)
        return picture

    def _finish(self, outcomes: Sequence[VideoOutcome]) -> None:
        back = {one.file_name: one for outcome in outcomes for one in outcome.pictures if one.is_back}
        sizes = {name: (one.width, one.height, str(one.sha256)) for name, one in back.items()}
        coco: Coco = recovered_coco(self._manifest.coco, sizes)
        with self._work.publish_file(self._folder / REPORT) as target:
            target.write_text(json.dumps(_report(outcomes), indent=1, sort_keys=True), encoding="utf-8")
        with self._work.publish_file(self._folder / "annotations.json") as target:
            write_coco(target, coco)


def _report(outcomes: Sequence[VideoOutcome]) -> Mapping[str, object]:
    total = Counter(picture.result for outcome in outcomes for picture in outcome.pictures)
    return {"total": dict(total), "videos": [asdict(outcome) for outcome in outcomes]}
