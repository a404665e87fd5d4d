"""What an export can be told."""

from dataclasses import asdict, dataclass, field
from typing import Final, get_args

from miner_resources.vocabulary import ImageFormat, Json

DEFAULT_SHARD_BYTES: Final = 500_000_000
SERVED_PICTURES: Final = "/data/local-files/?d=images/"
"""Where Label Studio serves pictures when the export is its document root."""


@dataclass(frozen=True)
class Encoding:
    """How the pictures were written, so that the same frames can be written again."""

    format: ImageFormat = "jpg"
    quality: int = 95
    max_side: int | None = None

    def __post_init__(self) -> None:
        """Check, as manifests come from anybody; raises ValueError."""
        sides = self.max_side is None or self.max_side >= 1
        if self.format not in get_args(ImageFormat) or self.quality not in range(1, 101) or not sides:
            raise ValueError(f"{self} is no encoding of pictures")


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
    image_url: str = SERVED_PICTURES
    encoding: Encoding = field(default_factory=Encoding)
    card: str | None = None

    def as_json(self) -> dict[str, Json]:
        """For keys."""
        return asdict(self)
