"""How numbers, tables and links of a stage become what the UI shows."""

import re

import dagster as dg
import pytest

from miner_assets.column_schemas import DETECTIONS, EMBEDDINGS, FRAMES, SCORES, UNIQUE_FRAMES
from miner_assets.metadata import metadata_of


def test_numbers_stay_numbers_and_rows_become_tables() -> None:
    shown = metadata_of({"rows": 3, "share": 0.5, "per_class": {"car": 2}, "thresholds": {"car": {"kept": 1, "of": 2}}})
    assert shown["rows"] == dg.MetadataValue.int(3)
    assert shown["share"] == dg.MetadataValue.float(0.5)
    assert [record.data for record in shown["per_class"].records] == [{"name": "car", "value": 2}]
    assert [record.data for record in shown["thresholds"].records] == [{"name": "car", "kept": 1, "of": 2}]


def test_rows_with_an_address_become_links() -> None:
    row = {"score": 0.9, "time_s": 12.5, "url": "https://www.youtube.com/watch?v=abc&t=12s"}
    (shown,) = metadata_of({"best": {"car": row}}).values()
    assert shown.value == "- [car](https://www.youtube.com/watch?v=abc&t=12s): score 0.9, time\\_s 12.5"


def test_what_a_browser_would_not_follow_is_text() -> None:
    (shown,) = metadata_of({"best": {"car": {"score": 1.0, "url": "file:///a.mp4#t=1"}}}).values()
    assert shown.value == "- car: score 1.0"


@pytest.mark.parametrize("hostile", ["a](javascript:x) [b", "<script>", "![x](http://tracker)", "line\n# title"])
def test_names_and_addresses_cannot_add_markup(hostile: str) -> None:
    (shown,) = metadata_of({"best": {hostile: {"url": f"https://x/{hostile}"}}}).values()
    text = str(shown.value)
    for sign in ("](javascript", "<script", "\n#", "](http://tracker"):
        assert not re.search(rf"(?<!\\){re.escape(sign)}", text)
    assert text.count("](https://x/") == 1


def test_nothing_is_shown_for_an_empty_table() -> None:
    assert metadata_of({"best": {}, "rows": 0}).keys() == {"rows"}


@pytest.mark.parametrize("described", [FRAMES, SCORES, EMBEDDINGS, DETECTIONS, UNIQUE_FRAMES])
def test_every_column_is_explained(described) -> None:
    columns = described["dagster/column_schema"].columns
    assert all(column.description and column.type for column in columns)
    assert {"video_id", "frame_index"} <= {column.name for column in columns}
