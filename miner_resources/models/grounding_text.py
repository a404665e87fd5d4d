"""The text side of Grounding DINO and its kin: many phrases in one text, and where each phrase's tokens are in it.

The text is `[CLS] red circle . dog . [SEP]`, as the stock processor writes it; the model reads each stretch between
separators by itself. Built from tokens instead of characters, so that a phrase's place is known however it is spelled.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from miner_resources.errors import InvalidData

CLS: Final = 101
SEP: Final = 102
DOT: Final = 1012
QUESTION: Final = 1029
"""Where transformers' Grounding DINO cuts a text: ids of BERT's English lower-case vocabulary, fixed in its code."""
PAD: Final = 0

_NOT_IN_PHRASES: Final = frozenset({CLS, SEP, DOT, QUESTION, PAD})


@dataclass(frozen=True)
class Chunk:
    """A text that goes through the model in one pass.

    Attributes:
        ids: of its tokens, [CLS] and [SEP] included.
        spans: number of a prompt → first and last-plus-one place of its phrase in `ids`. Prompts that say the same
            share their span.
    """

    ids: tuple[int, ...]
    spans: dict[int, tuple[int, int]]


def check_tokenizer(tokenizer: Any, name: str) -> None:  # noqa: ANN401 (transformers' classes are untyped)
    """Make sure that a tokenizer separates phrases with the ids that the model looks for.

    Args:
        tokenizer: of transformers.
        name: of the model, for messages.

    Raises:
        InvalidData: it has other ids, so that the model would read all phrases as one.
    """
    tokens = ["[PAD]", "[CLS]", "[SEP]", ".", "?"]
    if tokenizer.convert_tokens_to_ids(tokens) != [PAD, CLS, SEP, DOT, QUESTION]:
        raise InvalidData(
            f"the tokenizer of {name} is not BERT's English lower-case one, the only one that its architecture reads",
            remedy="take a checkpoint with the tokenizer of bert-base-uncased",
        )


def phrase_ids(tokenizer: Any, prompt: str) -> tuple[int, ...]:  # noqa: ANN401
    """The tokens of a prompt in lower case, without what would cut it in two; none for a prompt that says nothing."""
    ids: list[int] = tokenizer(prompt.lower(), add_special_tokens=False, verbose=False).input_ids
    return tuple(token for token in ids if token not in _NOT_IN_PHRASES)


def split(phrases: Sequence[tuple[int, ...]], limit: int) -> list[Chunk]:
    """Texts that hold every phrase once and whole, in their order.

    A phrase that is too long for a text of its own loses its end, as other families' texts do: its first 250 words say
    enough, and a run should not end over it.

    Args:
        phrases: tokens of each prompt; a prompt without tokens gets no span.
        limit: most tokens of a text.
    """
    numbers: dict[tuple[int, ...], list[int]] = {}
    for number, phrase in enumerate(phrases):
        if phrase:
            numbers.setdefault(phrase, []).append(number)
    found: list[Chunk] = []
    ids, spans = [CLS], dict[int, tuple[int, int]]()
    for phrase, own in numbers.items():
        kept = phrase[: limit - 3]
        if len(ids) + len(kept) + 2 > limit:
            found.append(Chunk((*ids, SEP), spans))
            ids, spans = [CLS], {}
        spans |= dict.fromkeys(own, (len(ids), len(ids) + len(kept)))
        ids += [*kept, DOT]
    return [*found, Chunk((*ids, SEP), spans)] if spans else found
