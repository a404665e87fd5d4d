"""Versions of the dataset: each keeps its bytes under `dataset/versions/{id}/`, and its id is the hash of them.

A version holds `annotations.json`, `images/` (hard links), `decisions.parquet` (what became of every sampled frame) and
`version.json`. The id is taken from `annotations.json`, which names every picture with its hash and split and holds no
date: the same inputs and settings give the same id and the same bytes. `version.json` says when and how it was made and
is not part of the id.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import polars as pl

from miner_assets.frame_decisions import DECISIONS_SCHEMA
from miner_assets.logic.coco_format import Coco, read_coco, write_coco
from miner_resources.errors import InvalidData, NotFound
from miner_resources.records import Json
from miner_resources.storage import Storage, link
from miner_resources.tables import read_table

ANNOTATIONS: Final = "annotations.json"
IMAGES: Final = "images"
DECISIONS: Final = "decisions.parquet"
RECORD: Final = "version.json"
SHORTEST: Final = 4
"""Digits of an id that are enough to name it, if no other begins with them."""


@dataclass(frozen=True, kw_only=True)
class Redaction:
    """Videos were taken down after the version had been made, so that it is not what it was."""

    removed_at: str
    videos: int
    images: int
    annotations: int


@dataclass(frozen=True, kw_only=True)
class VersionRecord:
    """What is known about a version.

    Attributes:
        parent: the version that was current before it was first made.
        videos: how many videos have pictures in it.
        per_class: class → boxes.
        per_split: split → pictures.
        config: the settings that it depends on, as in the configuration.
        inputs: the keys of what it was made from.
        split: how the splits were made.
        similarity: `threshold`, `edges` of the bins and `counts` by split of the nearest frame in another split.
        replaces: ids of the versions that this one stands for since videos were taken down.
    """

    version: str
    created_at: str
    parent: str | None
    videos: int
    images: int
    annotations: int
    per_class: dict[str, int]
    per_split: dict[str, int]
    made_with: str
    config: dict[str, Json] = field(default_factory=dict[str, Json])
    inputs: dict[str, Json] = field(default_factory=dict[str, Json])
    split: dict[str, Json] = field(default_factory=dict[str, Json])
    similarity: dict[str, Json] = field(default_factory=dict[str, Json])
    redactions: tuple[Redaction, ...] = ()
    replaces: tuple[str, ...] = ()


@dataclass(frozen=True)
class Version:
    """A version that is on disk."""

    record: VersionRecord
    folder: Path

    @property
    def coco(self) -> Coco:
        """Its annotations."""
        return read_coco(self.folder / ANNOTATIONS)

    @property
    def decisions(self) -> pl.DataFrame:
        """What became of every frame (`DECISIONS_SCHEMA`)."""
        return read_table(self.folder / DECISIONS, DECISIONS_SCHEMA)


class DatasetVersions:
    """The versions of one project."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def all(self) -> list[Version]:
        """Every version, oldest first."""
        found = [_read(path.parent) for path in self._storage.versions.glob(f"*/{RECORD}")]
        return sorted(found, key=lambda version: (version.record.created_at, version.record.version))

    def find(self, name: str) -> Version:
        """The version of that id, of an id that begins like that, or that stands for it since a takedown.

        Raises:
            NotFound: there is none, or more than one.
        """
        versions = self.all()
        wanted = name.lower()
        matches = [version for version in versions if _is_called(version.record, wanted)]
        if len(matches) == 1:
            return matches[0]
        known = ", ".join(version.record.version for version in versions[-5:]) or "none yet"
        what = "several versions are" if matches else "no version is"
        raise NotFound(
            f"{what} called {name!r} (the latest: {known})", remedy="see `video-miner dataset list` for all of them"
        )

    def exists(self, version_id: str) -> bool:
        """Whether that version is there."""
        return (self._storage.version(version_id) / RECORD).exists()

    def publish(self, record: VersionRecord, coco: Path, decisions: pl.DataFrame, pictures: Path) -> Version:
        """Keep a dataset; one that is there already stays as it is.

        Args:
            record: its `version` is `content_id(coco)`.
            coco: the annotations.
            decisions: `DECISIONS_SCHEMA`.
            pictures: the folder of the pictures that the annotations name.
        """
        target = self._storage.version(record.version)
        if not self.exists(record.version):
            with self._storage.publish_folder(target) as folder:
                link(coco, folder / ANNOTATIONS)
                _fill(folder, record, decisions, pictures, [image["file_name"] for image in read_coco(coco)["images"]])
        return _read(target)

    def prune(self, keep: int | None, current: str) -> list[str]:
        """Delete the oldest versions beyond `keep`, never the current one; returns their ids."""
        versions = [version.record.version for version in self.all() if version.record.version != current]
        doomed = [] if keep is None else versions[: max(0, len(versions) + 1 - keep)]
        for version_id in doomed:
            self._storage.discard(self._storage.version(version_id))
        return doomed

    def holding(self, video_ids: Sequence[str]) -> list[Version]:
        """Versions in whose files one of the videos is named."""
        wanted = set(video_ids)
        return [version for version in self.all() if wanted & _videos_of(version)]

    def redact(self, version: Version, video_ids: Sequence[str], removed_at: datetime) -> Version | None:
        """Put a version without these videos in the place of one that has them.

        The new one has an id of its own, says what is missing, and is found under the old id too. If another version is
        just that already, it takes over the old id.

        Returns:
            The version that stands for it now; None if no picture is left, then it is deleted.
        """
        coco, removal = _without(version.coco, video_ids, removed_at)
        old = version.record
        if old.images and not coco["images"]:
            self._storage.discard(version.folder)
            return None
        with self._storage.scratch("redacted") as scratch:
            annotations = scratch / ANNOTATIONS
            write_coco(annotations, coco)
            made = _redacted(old, content_id(annotations), coco, removal)
            if made.version == old.version:
                # Only its decisions named them.
                self._rewrite(version, replace(made, replaces=old.replaces), _forget(version.decisions, video_ids))
                return _read(version.folder)
            if self.exists(made.version):
                twin = _read(self._storage.version(made.version))
                names = tuple(dict.fromkeys([*twin.record.replaces, *made.replaces]))
                self._rewrite(twin, replace(twin.record, replaces=names), twin.decisions)
            else:
                self.publish(made, annotations, _forget(version.decisions, video_ids), version.folder / IMAGES)
        self._storage.discard(version.folder)
        return _read(self._storage.version(made.version))

    def _rewrite(self, version: Version, record: VersionRecord, decisions: pl.DataFrame) -> None:
        with self._storage.publish_file(version.folder / DECISIONS) as target:
            decisions.write_parquet(target, compression="zstd")
        with self._storage.publish_file(version.folder / RECORD) as target:
            target.write_bytes(_encoded(record))


def content_id(annotations: Path) -> str:
    """The id of the version with these annotations: 16 hex digits of their SHA-256."""
    with annotations.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def counted(coco: Coco) -> dict[str, Any]:
    """The numbers of a `VersionRecord`."""
    names = {category["id"]: category["name"] for category in coco["categories"]}
    per_class = dict.fromkeys(names.values(), 0)
    for box in coco["annotations"]:
        per_class[names[box["category_id"]]] += 1
    per_split: dict[str, int] = {}
    for image in coco["images"]:
        per_split[image["split"]] = per_split.get(image["split"], 0) + 1
    return {
        "videos": len({image["video_id"] for image in coco["images"]}),
        "images": len(coco["images"]),
        "annotations": len(coco["annotations"]),
        "per_class": per_class,
        "per_split": dict(sorted(per_split.items())),
    }


def _is_called(record: VersionRecord, wanted: str) -> bool:
    names = (record.version, *record.replaces)
    return wanted in names or (len(wanted) >= SHORTEST and any(name.startswith(wanted) for name in names))


def _fill(folder: Path, record: VersionRecord, decisions: pl.DataFrame, pictures: Path, names: Sequence[str]) -> None:
    (folder / IMAGES).mkdir()
    for name in names:
        link(pictures / name, folder / IMAGES / name)
    decisions.write_parquet(folder / DECISIONS, compression="zstd")
    (folder / RECORD).write_bytes(_encoded(record))


def _encoded(record: VersionRecord) -> bytes:
    return (json.dumps(asdict(record), indent=1, sort_keys=True) + "\n").encode()


def _read(folder: Path) -> Version:
    path = folder / RECORD
    try:
        values: dict[str, Any] = json.loads(path.read_bytes())
        known = {each.name: values[each.name] for each in fields(VersionRecord) if each.name in values}
        known["redactions"] = tuple(Redaction(**entry) for entry in known.get("redactions", ()))
        known["replaces"] = tuple(known.get("replaces", ()))
        return Version(VersionRecord(**known), folder)
    except (OSError, ValueError, TypeError) as error:
        raise InvalidData(f"{path} cannot be read: {error}", remedy=f"delete the folder {folder}") from error


def _videos_of(version: Version) -> set[str]:
    named = {video["name"] for video in version.coco["videos"]} | set(version.decisions["video_id"].unique())
    keepers = version.decisions["duplicate_of"].drop_nulls().str.split(":").list.first()
    return named | set(keepers.unique())


def _without(coco: Coco, video_ids: Sequence[str], removed_at: datetime) -> tuple[Coco, Redaction]:
    gone = {video["id"] for video in coco["videos"] if video["name"] in video_ids}
    images = [image for image in coco["images"] if image["video_id"] not in gone]
    boxes = [box for box in coco["annotations"] if box["video_id"] not in gone]
    videos = [video for video in coco["videos"] if video["id"] not in gone]
    used = {image.get("license") for image in images}
    licenses = [license for license in coco["licenses"] if license["id"] in used]
    lost = Redaction(
        removed_at=removed_at.isoformat(timespec="seconds"),
        videos=len(gone),
        images=len(coco["images"]) - len(images),
        annotations=len(coco["annotations"]) - len(boxes),
    )
    left: Coco = {**coco, "licenses": licenses, "videos": videos, "images": images, "annotations": boxes}
    return left, lost


def _redacted(old: VersionRecord, version_id: str, coco: Coco, removal: Redaction) -> VersionRecord:
    # Warnings name videos; the histogram counted frames that are gone.
    split: Mapping[str, Json] = {name: value for name, value in old.split.items() if name != "warnings"}
    return replace(
        old,
        version=version_id,
        split=dict(split),
        redactions=(*old.redactions, removal),
        replaces=tuple(dict.fromkeys([*old.replaces, old.version])),
        **counted(coco),
    )


def _forget(decisions: pl.DataFrame, video_ids: Sequence[str]) -> pl.DataFrame:
    """Decisions that do not name these videos; what repeated them is still said to repeat another video."""
    gone = list(video_ids)
    names_them = pl.col("duplicate_of").str.split(":").list.first().is_in(gone)
    rows = decisions.filter(~pl.col("video_id").is_in(gone))
    return rows.with_columns(duplicate_of=pl.when(names_them).then(None).otherwise("duplicate_of"))
