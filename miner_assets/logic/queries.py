"""Suggest search queries for object classes: every name of a class, alone and in every context, best first.

`video-miner queries` prints them, and they can be watched as keywords. The two tables here are what it starts from;
to add a class or a context for everybody, add a row, for one project, name a file with `--contexts`.
"""

import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

from miner_resources.errors import InvalidData

TERM_PLACE: Final = "{}"
"""Where a context wants the term; without it the term comes first."""

# By what a context adds for any object: first what shows it large and working, then viewpoints that cameras of real
# deployments have, then light and weather, then places. "review", "unboxing" and "how to" are left out because they
# show people who talk, "animation" and "simulator" because they show drawings, "slow motion" because its frames are
# near-duplicates of each other.
DEFAULT_CONTEXTS: Final = (
    "footage",
    "close up",
    "in action",
    "compilation",
    "pov",
    "dashcam",
    "cctv",
    "drone footage",
    "at night",
    "in the rain",
    "street",
    "factory",
)

# Other names first, then common kinds: a search for the kind finds videos that never say the name of the class.
DEFAULT_SYNONYMS: Final[Mapping[str, tuple[str, ...]]] = {
    "airplane": ("aircraft", "airliner", "propeller plane"),
    "ambulance": ("emergency ambulance", "rescue ambulance"),
    "backpack": ("rucksack", "hiking backpack"),
    "bear": ("brown bear", "black bear"),
    "bicycle": ("cyclist", "mountain bike", "road bike"),
    "bird": ("songbird", "flock of birds"),
    "boat": ("motorboat", "sailboat", "fishing boat"),
    "bottle": ("plastic bottle", "glass bottle"),
    "bulldozer": ("dozer", "crawler dozer"),
    "bus": ("city bus", "coach bus", "double decker bus"),
    "car": ("automobile", "sedan", "suv"),
    "cat": ("kitten", "house cat"),
    "cell phone": ("smartphone", "mobile phone"),
    "chair": ("office chair", "armchair"),
    "combine harvester": ("grain harvester", "wheat harvester"),
    "concrete mixer": ("cement mixer", "concrete truck"),
    "conveyor belt": ("belt conveyor", "roller conveyor"),
    "couch": ("sofa", "settee"),
    "cow": ("cattle", "dairy cow"),
    "crane": ("tower crane", "mobile crane", "crawler crane"),
    "cup": ("mug", "coffee cup"),
    "dog": ("puppy", "stray dog"),
    "drone": ("quadcopter", "uav"),
    "dump truck": ("tipper truck", "haul truck"),
    "excavator": ("digger", "mini excavator", "backhoe"),
    "fire hydrant": ("hydrant",),
    "fire truck": ("fire engine", "ladder truck"),
    "forklift": ("lift truck", "fork truck", "reach truck"),
    "handbag": ("purse", "shoulder bag"),
    "hard hat": ("safety helmet", "construction helmet"),
    "horse": ("pony", "horse riding"),
    "laptop": ("notebook computer", "macbook"),
    "motorcycle": ("motorbike", "motor scooter"),
    "pallet": ("wooden pallet", "euro pallet"),
    "pallet jack": ("pallet truck", "hand pallet truck"),
    "person": ("pedestrian", "people walking"),
    "refrigerator": ("fridge", "fridge freezer"),
    "robot arm": ("robotic arm", "industrial robot"),
    "safety vest": ("reflective vest", "high visibility vest"),
    "sheep": ("lamb", "flock of sheep"),
    "ship": ("cargo ship", "container ship"),
    "shipping container": ("cargo container", "sea container"),
    "suitcase": ("luggage", "travel bag"),
    "tractor": ("farm tractor", "agricultural tractor"),
    "traffic cone": ("road cone", "safety cone"),
    "traffic light": ("traffic signal", "stoplight"),
    "train": ("locomotive", "passenger train", "freight train"),
    "truck": ("lorry", "semi truck", "pickup truck"),
    "umbrella": ("parasol", "beach umbrella"),
    "wheel loader": ("front end loader", "payloader"),
}

# The first that fits. Wrong singulars ("cactu") are harmless: they are only compared with each other.
_SINGULARS: Final = (
    (re.compile(r"^(glasses|shorts|news)$"), r"\1"),  # no glass, short or new
    (re.compile(r"(?<=..)ies?$"), "y"),
    (re.compile(r"(ch|sh|ss|x|[bcprt]us)es$"), r"\1"),
    (re.compile(r"(?<=..[^su])s$"), ""),
)


@dataclass(frozen=True)
class Query:
    """One search.

    Attributes:
        text: what to type into the search box.
        class_name: the class that it should find, as it was asked for.
        term: the class or its synonym, as it stands in the text.
        context: what was put around the term; empty if it stands alone.
    """

    text: str
    class_name: str
    term: str
    context: str


def suggest_queries(
    classes: Sequence[str],
    *,
    contexts: Sequence[str] = DEFAULT_CONTEXTS,
    synonyms: Mapping[str, Sequence[str]] = DEFAULT_SYNONYMS,
) -> list[Query]:
    """Combine classes, synonyms and contexts into different queries, best first.

    The queries of one class are ordered by how far down the two lists they are, positions added up, where the class
    itself and the empty context stand at 0: the class, the class in its first context, its first synonym, the class in
    its second context, and so on. The classes then take turns in the order given, so the first N queries serve all
    classes alike. A query that an earlier turn has taken is passed over and the class offers its next one; hence of
    queries with the same `search_key` the best ranked stays.

    Args:
        classes: names; of names with the same `search_key` the first counts.
        contexts: words to put after the term, or a text with `{}` in the place of the term.
        synonyms: class → other names, most common first. Looked up by `search_key`; of two spellings of a class the
            later counts.

    Raises:
        InvalidData: a class or a synonym is blank.
    """
    known = {search_key(name): names for name, names in synonyms.items()}
    asked: dict[str, str] = {}
    for name in classes:
        asked.setdefault(search_key(name), name)
    turns = deque(_ranked(name, [name, *known.get(key, ())], ["", *contexts]) for key, name in asked.items())
    taken: dict[str, Query] = {}
    while turns:
        offers = turns.popleft()
        for query in offers:
            key = search_key(query.text)
            if key not in taken:
                taken[key] = query
                turns.append(offers)
                break
    return list(taken.values())


def search_key(text: str) -> str:
    """What texts have in common that search alike: case, spacing, underscores and plurals make no difference.

    The order of words does: a "bus school" is no school bus.
    """
    return " ".join(_singular(word) for word in _spaced(text).casefold().split())


def _ranked(class_name: str, names: Sequence[str], contexts: Sequence[str]) -> Iterator[Query]:
    terms = [_spaced(name) for name in names]
    if not all(terms):
        raise InvalidData(f"a name of class {class_name!r} is blank", remedy="leave it out, or write a name")
    places = product(range(len(terms)), range(len(contexts)))
    for i, j in sorted(places, key=lambda place: (sum(place), place)):
        text = contexts[j] if TERM_PLACE in contexts[j] else f"{TERM_PLACE} {contexts[j]}"
        yield Query(_spaced(text.replace(TERM_PLACE, terms[i])), class_name, terms[i], contexts[j])


def _spaced(text: str) -> str:
    return " ".join(text.replace("_", " ").split())


def _singular(word: str) -> str:
    for plural, ending in _SINGULARS:
        if plural.search(word):
            return plural.sub(ending, word)
    return word
