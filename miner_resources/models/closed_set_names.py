"""Which of a detector's own classes a text means.

COCO's names come in several spellings: `sofa` and `tvmonitor` in the checkpoints of RT-DETR and D-FINE, `couch` and
`tv` in those of RF-DETR. Importing this module is quick: no torch.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Final

from miner_resources.errors import NotConfigured

SYNONYMS: Final = (
    ("person", "people", "human", "pedestrian"),
    ("bicycle", "bike"),
    ("motorcycle", "motorbike"),
    ("airplane", "aeroplane", "plane"),
    ("truck", "lorry"),
    ("traffic light", "traffic signal"),
    ("sports ball", "ball"),
    ("knife", "knives"),
    ("hot dog", "hotdog"),
    ("donut", "doughnut"),
    ("couch", "sofa"),
    ("potted plant", "pot plant", "plant", "houseplant"),
    ("dining table", "table"),
    ("tv", "television", "tv monitor", "tv set"),
    ("mouse", "computer mouse"),
    ("remote", "remote control"),
    ("keyboard", "computer keyboard"),
    ("cell phone", "mobile phone", "cellular phone", "phone"),
    ("microwave", "microwave oven"),
    ("refrigerator", "fridge"),
    ("teddy bear", "teddy"),
    ("hair drier", "hair dryer"),
)
"""Names of the same thing. A text that a checkpoint has as it is never means another of its classes."""

_GAP: Final = "n/a"
"""What checkpoints with COCO's 91 numbers call the eleven that COCO does not use."""
_CLOSEST: Final = 6


def own_classes(names: Mapping[int, str]) -> dict[int, str]:
    """The classes of a checkpoint that have a name, by number."""
    return {number: name for number, name in sorted(names.items()) if name.casefold() != _GAP}


def numbers_of(text: str, known: Mapping[int, str]) -> tuple[int, ...]:
    """The numbers of the classes that a text means; empty if it means none.

    Case, spaces, hyphens and a leading article do not count. The same name comes before its plural, and that before
    another name of the thing.
    """
    for forms in (_same, _singular, _meaning):
        wanted = forms(text)
        if found := tuple(number for number, name in known.items() if wanted & forms(name)):
            return found
    return ()


def match(prompts: Sequence[str], labels: Sequence[str], known: Mapping[int, str], model: str) -> list[tuple[int, ...]]:
    """What each text means to a detector with a fixed list of classes.

    Args:
        prompts: P texts.
        labels: the class that each text is for.
        known: the detector's own classes by number.
        model: its name, for the message.

    Returns:
        P times the numbers of its classes; empty for a text that means none, where another text of its class does.

    Raises:
        NotConfigured: no text of a class means anything to the detector.
    """
    found = [numbers_of(prompt, known) for prompt in prompts]
    seen = {label for label, numbers in zip(labels, found, strict=True) if numbers}
    texts: dict[str, list[str]] = {}
    for prompt, label in zip(prompts, labels, strict=True):
        if label not in seen:
            texts.setdefault(label, []).append(prompt)
    if texts:
        raise _impossible(texts, known, model)
    return found


def _impossible(texts: Mapping[str, Sequence[str]], known: Mapping[int, str], model: str) -> NotConfigured:
    names = list(dict.fromkeys(known.values()))
    asked = [text for several in texts.values() for text in several]
    ranked = [difflib.get_close_matches(text, names, n=_CLOSEST, cutoff=0) for text in asked]
    close = list(dict.fromkeys(name for rank in zip(*ranked, strict=True) for name in rank))[:_CLOSEST]
    wanted = ", ".join(
        repr(label) if [label] == several else f"{label!r} ({', '.join(several)})" for label, several in texts.items()
    )
    return NotConfigured(
        f"{model} finds only the {len(names)} classes that it was trained on, and {wanted} is none of them; "
        f"the nearest names are {', '.join(close)}",
        remedy="give the class a prompt that is one of the model's names, "
        "or set detection.detector to one that takes any text, such as grounding-dino",
    )


def _same(text: str) -> set[str]:
    """As it is, and each of several names that slashes separate, as in Objects365's `Monitor/TV`."""
    return {_plain(part) for part in (text, *text.split("/"))} - {""}


def _plain(text: str) -> str:
    words = re.findall(r"[^\W_]+", text.casefold())
    return "".join(words[1:] if len(words) > 1 and words[0] in {"a", "an", "the"} else words)


def _singular(text: str) -> set[str]:
    """With what they may be the plurals of."""
    forms = _same(text)
    for word in _same(text):
        if word.endswith("s") and not word.endswith("ss"):
            forms.add(word[:-1])
        if word.endswith(("ses", "xes", "zes", "ches", "shes")):
            forms.add(word[:-2])
        if word.endswith("ies"):
            forms.add(f"{word[:-3]}y")
    return forms


def _meaning(text: str) -> set[str]:
    """With all other names of the thing."""
    forms = _singular(text)
    return forms.union(*(group for group in _GROUPS if forms & group))


_GROUPS: Final = tuple(frozenset[str]().union(*map(_same, group)) for group in SYNONYMS)
