"""Words of the project that cost nothing to import, so that the command line can list its commands in no time.

`records.py`, which has the types with arrays and tables in them, passes them on: the rest imports them from there.
"""

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final, Literal

ImageFormat = Literal["jpg", "png", "webp"]

ExportFormat = Literal["coco", "yolo", "webdataset", "hf", "labelstudio", "fiftyone", "manifest"]
"""What `dataset export` and `dataset.formats` can write; docs/export.md describes each."""

SPLIT_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,40}")
"""Names of splits become names of files and folders."""

Json = str | int | float | bool | None | Sequence["Json"] | Mapping[str, "Json"]


class Stage(StrEnum):
    """The stages in the order in which they run; values are the names used in configs and the registry."""

    SEARCH = "search"
    DOWNLOAD = "download"
    EXTRACT = "extract"
    FILTER = "filter"
    EMBED = "embed"
    DETECT = "detect"
    DEDUP = "dedup"
    DATASET = "dataset"


class Status(StrEnum):
    """Where a video stands; values are those of the `videos.status` column."""

    PENDING = "pending"
    DOWNLOADING = "downloading"
    DOWNLOADED = "downloaded"
    EXTRACTING = "extracting"
    EXTRACTED = "extracted"
    FILTERING = "filtering"
    FILTERED = "filtered"
    DEDUPLICATING = "deduplicating"
    DEDUPLICATED = "deduplicated"
    DETECTING = "detecting"
    DETECTED = "detected"
    COMPLETE = "complete"
    FAILED = "failed"
    SKIPPED = "skipped"
