"""What a model adapter looks like to a stage: uint8 pictures in, plain validated arrays out.

Each kind has one Protocol; families (`siglip.py`, `dino.py`, `owlv2.py`) implement it, and `loading.py` chooses.
Importing this module is quick: no torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from miner_resources.records import Boxes, Floats, Rgb

Batch = Sequence[Rgb]
"""N pictures as the model's own `prepare` gives them, or an array of them; N may be 0. They may differ in shape."""

Asked = npt.NDArray[np.bool_]
"""(N, P): whether to look for that text in that picture."""


@dataclass(frozen=True)
class Query:
    """What a detector looks for.

    Attributes:
        prompts: P texts.
        labels: the class of each text; a class may have several texts.
        floor: lowest score to report.
    """

    prompts: tuple[str, ...]
    labels: tuple[str, ...]
    floor: float


@dataclass(frozen=True)
class Detections:
    """Boxes in one picture, and the text that found each."""

    boxes: Boxes
    prompts: tuple[str, ...]


class Adapter(Protocol):
    """What all kinds have."""

    def prepare(self, rgb: Rgb) -> Rgb:
        """(H, W, 3) of any size to what the model takes; safe to call from several threads."""
        ...

    @property
    def batch_size(self) -> int:
        """How many pictures to hand over at a time, so that every device has a full batch.

        More or fewer work too: batches are split and padded to one fixed size, so that the result of a picture does not
        depend on which others come along.
        """
        ...

    @property
    def identity(self) -> str:
        """Equal for adapters that give equal numbers: weights, number format and preprocessing."""
        ...

    def release(self) -> None:
        """Free the device's memory. The adapter cannot be used afterwards; releasing twice is fine."""
        ...


class TextImageModel(Adapter, Protocol):
    """Scores pictures against texts."""

    def text_features(self, texts: Sequence[str]) -> Floats:
        """(P, D) unit vectors; cached."""
        ...

    def image_features(self, images: Batch) -> Floats:
        """(N, D) unit vectors."""
        ...

    def logits(self, image_features: Floats, text_features: Floats) -> Floats:
        """(N, P) float32; the sigmoid of a logit is the score. Independent of what else is in the arrays."""
        ...


class ImageEmbedder(Adapter, Protocol):
    """Turns pictures into vectors whose cosine says how alike they are."""

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        ...

    def embed(self, images: Batch) -> Floats:
        """(N, D) unit vectors."""
        ...


class ObjectDetector(Adapter, Protocol):
    """Finds things that texts describe."""

    def detect(
        self, images: Batch, sizes: Sequence[tuple[int, int]], query: Query, asked: Asked | None = None
    ) -> list[Detections]:
        """Boxes in pixels of the original pictures.

        Args:
            images: as `prepare` gives them.
            sizes: (height, width) of the originals.
            query: what to look for.
            asked: which texts to look for in which picture; None: all in all. What is not asked for is not found, and
                costs nothing where a model takes one text at a time.

        Returns:
            one for each picture, boxes by falling score, equal scores from top to bottom and left to right; without
            scores in the order in which the model names them.
        """
        ...
