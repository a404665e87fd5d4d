"""The dataset card: what is in a dataset, where it is from, how it was made, and what is known to be wrong with it.

Markdown, as the hubs show it. The same facts give the same bytes: dates are those of the searches, not of the writing.
Reference: Mitchell et al., "Model Cards for Model Reporting", arXiv:1810.03993; the hub's dataset card template.
"""

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from miner_assets.logic.coco_checks import dataset_summary
from miner_assets.logic.coco_format import Coco
from miner_assets.logic.funnel import COLUMNS, FunnelRow
from miner_assets.logic.threshold_grid import Counted
from miner_resources.errors import presentable
from miner_resources.records import Json


@dataclass(frozen=True)
class UsedModel:
    """One model, and what it may be used for by its own licence."""

    task: str
    name: str
    source: str
    revision: str | None
    licence: str


@dataclass(frozen=True)
class CardFacts:
    """What a card is made from.

    Attributes:
        searches: keyword → when it was searched for last, ISO date.
        thresholds: setting → value.
        split: facts about the splits: `method`, `group_by`, `ratios`, `warnings`.
        similarity: `threshold`, `edges`, `counts` per split, and the `highest` similarity across splits.
        repeats: (similarity from, to, frames removed as repeats) of the decisions across and within videos.
        curve: what other thresholds of `dedup` would have left; empty if that was not counted.
        contact: whom to ask for a takedown; empty if nobody is named.
    """

    title: str
    description: str
    contact: str
    version: str
    coco: Coco
    funnel: Sequence[FunnelRow]
    searches: Mapping[str, str | None]
    models: Sequence[UsedModel]
    thresholds: Mapping[str, Json]
    split: Mapping[str, Json]
    similarity: Mapping[str, Json]
    repeats: Sequence[tuple[float, float, int]]
    curve: Sequence[Counted] = ()


def dataset_card(facts: CardFacts) -> str:
    """The card as Markdown."""
    coco = facts.coco
    head = [
        f"# {_plain(facts.title)}",
        *([_plain(facts.description)] if facts.description else []),
        f"{len(coco['images']):,} pictures from {len(coco['videos']):,} videos, {len(coco['annotations']):,} boxes. "
        f"Version `{facts.version[:16]}`. Every picture names its video, its exact time and the licence that its "
        "source states. **The boxes were found by models; no person has checked them.**",
    ]
    sections = [
        ("What is in it", _contents(coco)),
        ("Where it is from", _sources(facts)),
        ("How it was made", _making(facts)),
        ("Near-duplicates", _repeats(facts)),
        ("Splits", _splits(facts)),
        ("Rights", _rights(coco)),
        ("Known limits", LIMITS),
        ("Takedown", _takedown(facts.contact)),
    ]
    return "\n\n".join([*head, *(f"## {title}\n\n{text}" for title, text in sections)]) + "\n"


LIMITS = """- Classes are what models take for them: objects may be missed, and others taken for them. Other objects
  are not labelled at all.
- Videos are what searches return: popular, recent, and mostly from few countries and languages. They are no sample of
  the world.
- Frames were removed where they repeat others: counts of frames say nothing about how long something was to be seen.
- People may be recognizable. Nobody in the videos was asked."""
"""What every dataset of this kind is like, as a Markdown list."""


def _contents(coco: Coco) -> str:
    rows = [[one.split, one.category or "all classes", one.images, one.annotations] for one in dataset_summary(coco)]
    return _table(("split", "class", "pictures", "boxes"), rows)


def _sources(facts: CardFacts) -> str:
    funnel = _table([name.replace("_", " ") for name in COLUMNS], [row.cells() for row in facts.funnel])
    searches = [[keyword, when or "never"] for keyword, when in facts.searches.items()]
    text = f"From what each search found to boxes:\n\n{funnel}"
    return text + (f"\n\n{_table(('search', 'last made'), searches)}" if searches else "")


def _making(facts: CardFacts) -> str:
    models = [[one.task, one.name, one.source, one.revision or "not pinned", one.licence] for one in facts.models]
    thresholds = [[name, value] for name, value in facts.thresholds.items()]
    used = _table(("for", "model", "weights", "revision", "licence"), models)
    return f"{used}\n\n{_table(('setting', 'value'), thresholds)}"


def _repeats(facts: CardFacts) -> str:
    if not facts.repeats:
        return "\n\n".join(["No frame was removed as a repeat of another one.", *_curve(facts)])
    total = sum(count for _, _, count in facts.repeats)
    rows = [[f"{low:.2f} to {high:.2f}", count] for low, high, count in facts.repeats]
    text = f"{total:,} frames were removed because they repeat a kept one, by the cosine similarity to it:"
    return "\n\n".join([text, _table(("similarity", "frames removed"), rows), *_curve(facts)])


def _curve(facts: CardFacts) -> list[str]:
    """Text and table, or nothing."""
    if not facts.curve:
        return []
    rows = [
        [f"{row.threshold:g}{', as used' if row.current else ''}", row.kept, row.dataset_cells()[0]]
        for row in facts.curve
    ]
    text = "What other thresholds would have left, from stored scores (`video-miner thresholds` tells more):"
    return [text, _table(("dedup.threshold", "frames unique in their video", "pictures of the dataset"), rows)]


def _splits(facts: CardFacts) -> str:
    split, similar = facts.split, facts.similarity
    highest = similar.get("highest")
    check = (
        "There is only one split with pictures."
        if highest is None
        else f"The most similar pictures of two splits have a cosine of {highest}; from {similar.get('threshold')} "
        "on they would count as repeats, which the build refuses."
    )
    lines = [f"By {split.get('group_by', 'video')}: {split.get('method', '')}. {check}"]
    warnings = split.get("warnings")
    if isinstance(warnings, Sequence):
        lines += [f"- {_plain(str(warning))}" for warning in warnings]
    edges, counts = similar.get("edges"), similar.get("counts")
    if isinstance(edges, Sequence) and isinstance(counts, Mapping) and counts:
        bins = [f"{low} to {high}" for low, high in itertools.pairwise(edges)]
        rows = [[name, *values] for name, values in counts.items() if isinstance(values, Sequence)]
        if all(len(row) == len(bins) + 1 for row in rows):
            shown = [place for place in range(len(bins)) if any(row[place + 1] for row in rows)]
            table = _table(
                ("split", *(bins[place] for place in shown)),
                [[row[0], *(row[place + 1] for place in shown)] for row in rows],
            )
            lines.append(f"\nPictures by their similarity to the nearest one of another split:\n\n{table}")
    return "\n".join(lines)


def _rights(coco: Coco) -> str:
    licence = {video["id"]: video.get("license") or "not stated" for video in coco["videos"]}
    videos = Counter(licence.values())
    pictures = Counter(licence[image["video_id"]] for image in coco["images"])
    rows = [[name, count, pictures[name]] for name, count in sorted(videos.items())]
    return (
        f"{_table(('licence that the source states', 'videos', 'pictures'), rows)}\n\n"
        "The licence of each video is in its record. What may be done with the pictures is between you, the law and "
        "the authors of the videos; that a picture is in here grants nothing."
    )


def _takedown(contact: str) -> str:
    whom = f"write to {_plain(contact)}" if contact else "ask whoever gave you this dataset (no contact was named)"
    return (
        f"If you are in a video, or have made it, and do not want it in here: {whom}, with the video's address. It is "
        "removed with everything made from it, and a new version takes the place of this one."
    )


def _table(columns: Iterable[str], rows: Iterable[Sequence[Json]]) -> str:
    names = list(columns)
    lines = [names, ["---"] * len(names), *([_cell(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Json) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else _plain(str(value))


def _plain(text: str) -> str:
    """Titles and keywords are from strangers: nothing in them may be taken for Markdown or HTML."""
    return re.sub(r"([\\`*_{}\[\]()<>#!|&])", r"\\\1", " ".join(presentable(text).split()))
