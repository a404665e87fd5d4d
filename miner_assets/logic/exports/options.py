"""What an export can be told."""

from dataclasses import asdict, dataclass, field
from typing import Final

from miner_resources.images import ImageFormat
from miner_resources.records import Json

DEFAULT_SHARD_BYTES: Final = 500_000_000


@dataclass(frozen=True)
class Encoding:
    """How the pictures were written, so that the same frames can be written again."""

    format: ImageFormat = "jpg"
    quality: int = 95
    max_side: int | None = None


@dataclass(frozen=True)
class ExportOptions:
    """Settings of all formats.

    Attributes:
        shard_bytes: how large a file of pictures may get (webdataset, hf).
        image_url: where Label Studio finds the pictures; names are put behind it.
        encoding: goes into the manifest.
        card: Markdown for the README of `hf`, without front matter; None: a short one.
    """

    shard_bytes: int = DEFAULT_SHARD_BYTES
    image_url: str = "/data/local-files/?d=images/"
    encoding: Encoding = field(default_factory=Encoding)
    card: str | None = None

    def as_json(self) -> dict[str, Json]:
        """For keys."""
        return asdict(self)
