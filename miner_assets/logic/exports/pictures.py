"""Pictures on their way into an export: as files of their own, or in shards of about one size."""

from collections.abc import Iterator, Sequence

from miner_assets.logic.coco_format import Image
from miner_assets.logic.exports.snapshot import Snapshot
from miner_resources.errors import InvalidData
from miner_resources.published.publish import Entry
from miner_resources.storage import stable_hash


def picture(snapshot: Snapshot, image: Image, folder: str) -> Entry:
    """The file of a picture, as it is."""
    name = image["file_name"]
    return Entry(f"{folder}/{name}", snapshot.images / name, image["sha256"], items=1)


def picture_bytes(snapshot: Snapshot, image: Image) -> bytes:
    """The bytes of a picture.

    Raises:
        InvalidData: the file is missing.
    """
    path = snapshot.images / image["file_name"]
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidData(f"{path} cannot be read: {error.strerror}", remedy="run the stage 'dedup' again") from error


def suffix(image: Image) -> str:
    """The extension of a picture without its dot."""
    return image["file_name"].rpartition(".")[2].lower()


def shards(snapshot: Snapshot, split: str, limit_bytes: int) -> list[list[Image]]:
    """The pictures of a split in groups of at most `limit_bytes`, in order; a larger picture is a group of its own.

    Raises:
        InvalidData: a picture is missing.
    """
    groups: list[list[Image]] = []
    size = limit_bytes
    for image in snapshot.images_of(split):
        path = snapshot.images / image["file_name"]
        try:
            length = path.stat().st_size
        except OSError as error:
            raise InvalidData(f"{path} is missing", remedy="run the stage 'dedup' again") from error
        if size + length > limit_bytes:
            groups.append([])
            size = 0
        groups[-1].append(image)
        size += length
    return groups


def fingerprint(snapshot: Snapshot, images: Sequence[Image], *how: str | int) -> str:
    """Changes when a file made of these pictures and what is known about them would."""
    return stable_hash(*how, snapshot.classes, [snapshot.sample(image) for image in images])


def chunks(images: Sequence[Image], size: int) -> Iterator[Sequence[Image]]:
    """The images in groups of that many."""
    for start in range(0, len(images), size):
        yield images[start : start + size]
