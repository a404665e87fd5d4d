"""WebDataset: tar files in which the files of one sample share a name, `{split}-000000.tar`.

A sample is its picture and a `.json` with boxes and provenance. Names have no dots but the one before the extension,
because readers cut at the first one. The same pictures give the same bytes: no times, no owners.

Reference: https://github.com/webdataset/webdataset
"""

import io
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from miner_assets.logic.coco_format import Image
from miner_assets.logic.exports.lines import json_bytes
from miner_assets.logic.exports.options import ExportOptions
from miner_assets.logic.exports.pictures import fingerprint, picture_bytes, shards, suffix
from miner_assets.logic.exports.snapshot import Snapshot
from miner_resources.published.publish import Entry


def webdataset_entries(snapshot: Snapshot, options: ExportOptions) -> Iterator[Entry]:
    """Files of the export."""
    yield Entry.of_bytes("classes.json", json_bytes(snapshot.classes))
    for split in snapshot.splits:
        for number, images in enumerate(shards(snapshot, split, options.shard_bytes)):
            yield _shard(snapshot, f"{split}-{number:06d}.tar", images)


def sample_key(image: Image) -> str:
    """The name that the files of a sample share; a file name with dots gets its id to stay unique."""
    stem = image["file_name"].rpartition(".")[0]
    return stem if "." not in stem else f"{stem.replace('.', '-')}-{image['id']}"


def _shard(snapshot: Snapshot, path: str, images: Sequence[Image]) -> Entry:
    def write(target: Path) -> Iterator[int]:
        with tarfile.open(target, "w", format=tarfile.USTAR_FORMAT) as tar:
            for image in images:
                key = sample_key(image)
                _add(tar, f"{key}.{suffix(image)}", picture_bytes(snapshot, image))
                _add(tar, f"{key}.json", json_bytes(snapshot.sample(image)))
                yield 1

    return Entry(path, write, fingerprint(snapshot, images, "webdataset", 1), items=len(images))


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    member.mode = 0o644
    tar.addfile(member, io.BytesIO(data))
