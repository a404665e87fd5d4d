"""What Florence-2 answers when asked to locate something: token ids in, boxes out.

An answer is `phrase<loc_x1><loc_y1><loc_x2><loc_y2>...`, or outlines: `phrase<poly><loc_x><loc_y>...<sep>...</poly>`.
The 1000 places divide width and height evenly. Reference: arXiv:2311.06242, section 4.1.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from miner_resources.errors import InvalidData
from miner_resources.records import Floats

PLACES: Final = 1000

Corners = tuple[int, int, int, int]
"""x1, y1, x2, y2, each 0..999."""


@dataclass(frozen=True)
class Signs:
    """The token ids that mean something in an answer; all others are words.

    Attributes:
        places: id → 0..999.
        outline: begins an object's outlines; None: the model gives none.
        separator: between the outlines of one object.
        fillers: ids that mean nothing.
    """

    places: Mapping[int, int]
    outline: int | None
    separator: int | None
    fillers: frozenset[int]


def read_signs(tokenizer: Any, name: str) -> Signs:  # noqa: ANN401 (transformers' classes are untyped)
    """The signs of a checkpoint.

    Raises:
        InvalidData: its tokenizer has no places.
    """
    ids: dict[str, int] = tokenizer.get_vocab()
    places = {ids[sign]: place for place in range(PLACES) if (sign := f"<loc_{place}>") in ids}
    if len(places) < PLACES:
        raise InvalidData(
            f"the tokenizer of {name} has {len(places)} of the {PLACES} places <loc_0>, <loc_1>, ... of Florence-2",
            remedy="take a checkpoint in the layout of transformers, such as florence-community/Florence-2-base-ft",
        )
    special = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
    fillers = frozenset(token for token in special if token is not None)
    return Signs(places, ids.get("<poly>"), ids.get("<sep>"), fillers)


def read_answer(tokens: Iterable[int], signs: Signs) -> list[Corners]:
    """The boxes of an answer, in its order; of outlines the box around them.

    Words are not looked at: one phrase was asked for. Places too few for a box are left out; corners may be the wrong
    way round.
    """
    found: list[Corners] = []
    run: list[int] = []
    outlined = False
    for token in (*(token for token in tokens if token not in signs.fillers), None):
        if token is not None and (place := signs.places.get(token)) is not None:
            run.append(place)
        elif outlined and token == signs.separator:
            del run[len(run) // 2 * 2 :]
        else:
            found += _around(run) if outlined else _each(run)
            run = []
            outlined = token is not None and token == signs.outline
    return found


def in_pixels(corners: Sequence[Corners], size: tuple[int, int]) -> Floats:
    """(K, 4) of a picture of `size` (height, width): a place stands for its middle."""
    height, width = size
    places = np.array(corners, np.float64).reshape(-1, 4)
    return ((places + 0.5) / PLACES * [width, height, width, height]).astype(np.float32)


def _each(run: Sequence[int]) -> list[Corners]:
    return [(run[at], run[at + 1], run[at + 2], run[at + 3]) for at in range(0, len(run) - 3, 4)]


def _around(run: Sequence[int]) -> list[Corners]:
    ys = run[1::2]
    xs = run[: 2 * len(ys) : 2]
    return [(min(xs), min(ys), max(xs), max(ys))] if ys else []
