"""The page of `video-miner thresholds`: a chart, and galleries of what is just above and just below each threshold."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from jinja2 import Environment

from miner_assets.logic.filtering import thresholds_of
from miner_assets.logic.threshold_grid import DEDUP, DETECTION, FILTER, KEYS, Counted, table_head, table_rows
from miner_assets.logic.threshold_preview import StoredScores, preview_thresholds
from miner_assets.stored_scores import read_shown_frames
from miner_assets.threshold_chart import threshold_chart
from miner_assets.threshold_gallery import ExampleCollector, boxes_sheet, pairs_sheet
from miner_assets.threshold_sheet import threshold_sheet
from miner_resources.config import MinerConfig
from miner_resources.images import ImageFormat, encode_image
from miner_resources.records import Rgb
from miner_resources.storage import Storage

_TILES: Final = 16
_CLASSES: Final = 12
_NOTES: Final = {
    DEDUP: "Each pair is an earlier frame and, right of it, the one that is compared with it. Nearest pairs come from "
    "within a video, among frames that pass the filter now.",
    DETECTION: "The surest boxes of a class come first; boxes are those on frames that are unique in their video now.",
}

_PAGE: Final = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
    """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Thresholds</title>
<style>
:root { color-scheme: dark; background: #18191f; color: #eceef2; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 1200px; margin: 0 auto; padding: 1rem; }
h1, h2, h3 { font-weight: 600; line-height: 1.2; overflow-wrap: anywhere; }
h2 { margin-top: 2.5rem; border-top: 1px solid #3a3e47; padding-top: 1rem; }
p { color: #c3c8d2; max-width: 48rem; }
img { max-width: 100%; height: auto; display: block; border-radius: 4px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td { white-space: nowrap; }
th, td { padding: .2rem .8rem; text-align: right; vertical-align: bottom; }
th { max-width: 9rem; color: #a0a6b1; font-weight: 500; }
tr.now { background: #33405a; }
nav { display: flex; flex-wrap: wrap; gap: .3rem 1rem; margin-bottom: 1rem; }
nav a { color: #8ec5ff; }
.kept { color: #56b4e9; } .dropped { color: #e69f00; }
</style>
<main>
<h1>What other thresholds would keep</h1>
<p>One threshold changes at a time; the others stay as configured. The marked row is the threshold as it is now.
≈ is an estimate, because some frames that would pass have no vector yet; ≥ is a lower bound, because the detector has
not looked at some images.</p>
<p>The galleries go from just above a threshold to just below it: a <span class="kept">blue</span> border is kept, an
<span class="dropped">orange</span> one is not.</p>
<nav>{% for part in parts %}<a href="#{{ part.axis }}">{{ part.key }}</a>{% endfor %}</nav>
<img src="{{ chart }}" alt="Counts by threshold">
{% for part in parts %}
<h2 id="{{ part.axis }}">{{ part.key }}</h2>
<div class="wide" tabindex="0" role="region" aria-label="Counts by {{ part.key }}">
<table>
<tr>{% for cell in part.head %}<th scope="col">{{ cell }}</th>{% endfor %}</tr>
{% for row, now in part.rows %}
<tr{% if now %} class="now" aria-current="true"{% endif %}>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</table>
</div>
{% if part.note %}<p>{{ part.note }}</p>{% endif %}
{% for gallery in part.galleries %}
<h3>{{ gallery.title }}</h3>
<img src="{{ gallery.picture }}" alt="{{ gallery.title }}">
{% endfor %}
{% endfor %}
</main>
</html>
"""
)


@dataclass(frozen=True)
class _Gallery:
    """A picture under its title."""

    title: str
    picture: str


class ThresholdPage:
    """Makes the page: one file that needs no other, so that it can be sent to somebody.

    Args:
        storage: of the project.
        config: of the project.
    """

    def __init__(self, storage: Storage, config: MinerConfig) -> None:
        self._storage = storage
        self._config = config

    def html(
        self,
        counted: Mapping[str, Sequence[Counted]],
        scores: StoredScores,
        around: Sequence[float],
        examples: ExampleCollector,
    ) -> str:
        """The page.

        Args:
            counted: axis → its rows.
            scores: of the filter.
            around: thresholds of the filter to show frames around.
            examples: of the other thresholds.
        """
        galleries = {
            FILTER: [*self._frames(scores, around)],
            DEDUP: [*self._pairs(examples)],
            DETECTION: [*self._boxes(examples)],
        }
        parts = [
            {
                "axis": axis,
                "key": KEYS[axis],
                "head": table_head(axis, rows),
                "rows": [(cells, row.current) for cells, row in zip(table_rows(rows), rows, strict=True)],
                "note": _NOTES.get(axis),
                "galleries": galleries[axis],
            }
            for axis, rows in counted.items()
        ]
        return _PAGE.render(parts=parts, chart=_inline(threshold_chart(counted), "png"))

    def _frames(self, scores: StoredScores, around: Sequence[float]) -> Iterator[_Gallery]:
        for threshold in around:
            preview = preview_thresholds(
                scores, thresholds_of(self._config.classes, threshold), pictured=_CLASSES, tiles=_TILES
            )
            shown = [frame for one in preview.classes for frame in one.shown]
            title = f"Frames around {KEYS[FILTER]} {threshold:g}"
            counts = f"{preview.frames:,} frames of {preview.videos:,} videos"
            rgb, _ = threshold_sheet(counts, preview, read_shown_frames(self._storage, shown), self._storage.root)
            yield _Gallery(title, _inline(rgb))

    def _pairs(self, examples: ExampleCollector) -> Iterator[_Gallery]:
        for threshold, pairs in examples.pairs.items():
            rgb = pairs_sheet(self._storage, pairs)
            if rgb is not None:
                yield _Gallery(f"Pairs around {KEYS[DEDUP]} {threshold:g}", _inline(rgb))

    def _boxes(self, examples: ExampleCollector) -> Iterator[_Gallery]:
        for threshold, boxes in examples.boxes.items():
            for name in self._config.classes:
                rgb = boxes_sheet(self._storage, [box for box in boxes if box.category == name])
                if rgb is not None:
                    title = f"{name}: boxes around {KEYS[DETECTION]} {threshold:g}"
                    yield _Gallery(title, _inline(rgb))


def _inline(rgb: Rgb, kind: ImageFormat = "jpg") -> str:
    data = base64.b64encode(encode_image(rgb, kind, 88)).decode()
    return f"data:image/{'jpeg' if kind == 'jpg' else kind};base64,{data}"
