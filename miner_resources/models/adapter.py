"""What a model adapter looks like to a stage: uint8 pictures in, plain validated arrays out.

Each kind has one Protocol; families (`siglip.py`, `dino.py`, `owlv2.py`) implement it, and `loading.py` chooses.
Importing this module is quick: no torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from miner_resources.records import Boxes, Floats

if TYPE_CHECKING:
    from miner_resources.models.preprocess import Preprocess

Batch = npt.NDArray[np.uint8]
"""(N, S, S, 3) pictures at the model's input size, as `preprocess.resize` gives them; N may be 0."""


@dataclass(frozen=True)
class Detections:
    """Boxes in one picture, and the text that found each."""

    boxes: Boxes
    prompts: tuple[str, ...]


class Adapter(Protocol):
    """What all kinds have."""

    @property
    def preprocess(self) -> "Preprocess":
        """How pictures are resized; safe to use from several threads."""
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
        self,
        images: Batch,
        sizes: Sequence[tuple[int, int]],
        *,
        prompts: Sequence[str],
        labels: Sequence[str],
        floor: float,
    ) -> list[Detections]:
        """Boxes in pixels of the original pictures.

        Args:
            images: at the model's input size.
            sizes: (height, width) of the originals.
            prompts: P texts.
            labels: the class of each text; a class may have several texts.
            floor: lowest score to report.

        Returns:
            one for each picture, boxes by falling score, equal scores from top to bottom and left to right.
        """
        ...
