"""The catalogue to read: cells for `video-miner models list` and the tables in docs/models.md."""

import re
from typing import Final

from miner_resources.models.catalogue import CATALOGUE, ModelEntry

COLUMNS: Final = ("name", "weights", "revision", "parameters", "pixels", "licence", "scores", "threshold")

_BLOCK: Final = re.compile(r"(<!-- models: (\S+) -->\n).*?(?=<!-- end -->)", re.DOTALL)


def cells(entry: ModelEntry) -> list[str]:
    """What the catalogue says about a model, under `COLUMNS`."""
    millions = entry.parameters_m
    return [
        entry.name,
        entry.hub_id or entry.service or "bundled",
        (entry.revision or "main")[:7] if entry.hub_id else "",
        "" if millions is None else f"{millions / 1000:.1f} B" if millions >= 1000 else f"{millions:g} M",
        "any" if entry.input_size is None else str(entry.input_size),
        f"{entry.licence}, gated" if entry.gated else entry.licence,
        f"{entry.scores}, {entry.classes}" if entry.classes else entry.scores,
        "" if entry.default_threshold is None else f"{entry.default_threshold:g}",
    ]


def refreshed(page: str) -> str:
    """A Markdown page with its tables made anew: between `<!-- models: TASK -->` and `<!-- end -->`."""
    return _BLOCK.sub(lambda block: f"{block[1]}{_table(block[2])}\n", page)


def _table(task: str) -> str:
    rows = [[*COLUMNS, "family"], ["---"] * (len(COLUMNS) + 1)]
    rows += [[*_linked(entry), entry.family] for entry in CATALOGUE if entry.task == task]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _linked(entry: ModelEntry) -> list[str]:
    name, weights, revision, parameters, pixels, licence, *rest = cells(entry)
    shown = f"[{weights}](https://huggingface.co/{entry.hub_id})" if entry.hub_id else weights
    return [f"`{name}`", shown, revision, parameters, pixels, f"[{licence}]({entry.licence_url})", *rest]
