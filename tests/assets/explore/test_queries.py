"""Filters and groups."""

from urllib.parse import parse_qsl

import pytest

from miner_assets.explore.index import ACROSS, IN_VIDEO
from miner_assets.explore.queries import Filters, Queries, reason_text, reasons, start_with
from miner_resources.errors import InvalidData


def chosen(queries: Queries, **query: str) -> list[str]:
    rows = queries.select(Filters.parse(query))
    return queries.index.frames["frame_id"].gather(rows).to_list()


@pytest.mark.parametrize(
    ("query", "frames"),
    [
        ({"show": "unique"}, ["first:0", "first:2"]),
        ({"show": "rejected"}, ["first:3"]),
        ({"reason": IN_VIDEO}, ["first:1", "second:10"]),
        ({"cls": "car"}, ["first:0", "first:1", "second:0"]),
        ({"cls": "dog", "show": "unique"}, ["first:0", "first:2"]),
        ({"video": "second"}, ["second:0", "second:10"]),
        ({"keyword": "cars", "show": "unique"}, ["first:0", "first:2"]),
        ({"split": "train"}, ["first:0", "first:2"]),
        ({"min": "0.85"}, ["first:0", "second:0", "second:10"]),
        ({"min": "0.1", "max": "0.65"}, ["first:3", "first:4"]),
        ({"boxes": "yes"}, ["first:0", "second:0"]),
        ({"boxes": "no", "show": "unique"}, ["first:2"]),
        ({"video": "' OR 1=1 --"}, []),
    ],
    ids=str,
)
def test_filters_choose_frames(queries: Queries, query: dict[str, str], frames: list[str]) -> None:
    assert chosen(queries, **query) == frames


def test_orders(queries: Queries) -> None:
    assert chosen(queries, order="score")[:2] == ["second:10", "first:0"]
    assert chosen(queries, order="score")[-1] == "first:5"
    assert chosen(queries, order="boxes")[:2] == ["first:0", "second:0"]
    assert chosen(queries, order="doubtful", show="repeat") == ["second:10", "second:0", "first:1"]


def test_counts_are_of_all_other_filters(queries: Queries) -> None:
    assert queries.counts(Filters()) == {"all": 8, "unique": 2, "repeat": 3, "rejected": 1, "waiting": 2}
    assert queries.counts(Filters(cls="car"))["all"] == 3


def test_unique_frames_come_first_if_there_are_any(queries: Queries) -> None:
    assert start_with(Filters(), queries.counts(Filters())).show == "unique"
    none = dict.fromkeys(("all", "unique", "repeat", "rejected", "waiting"), 0)
    assert start_with(Filters(), none).show == "all"
    assert start_with(Filters(show="repeat"), none).show == "repeat"


def test_addresses_hold_what_is_not_usual() -> None:
    filters = Filters.parse({"cls": "a&b", "min": "0.5", "order": "time", "other": "x"})
    assert parse_qsl(filters.query(page=3)) == [("cls", "a&b"), ("min", "0.5"), ("page", "3")]
    assert Filters.parse(dict(parse_qsl(filters.query()))) == filters


@pytest.mark.parametrize(
    "query",
    [{"show": "everything"}, {"min": "nan"}, {"max": "2"}, {"min": "low"}, {"order": "x"}, {"boxes": "1"}],
    ids=str,
)
def test_values_that_make_no_sense_are_refused(query: dict[str, str]) -> None:
    with pytest.raises(InvalidData, match=next(iter(query))):
        Filters.parse(query)


def test_groups_of_near_duplicates(queries: Queries) -> None:
    def groups(*arguments: str) -> list[list[str]]:
        found = queries.groups(*arguments)  # pyright: ignore[reportArgumentType]
        return [queries.index.frames["frame_id"].gather(group.rows).to_list() for group in found]

    only = [["first:0", "first:1", "second:0", "second:10"]]
    assert groups("largest") == groups("doubtful") == groups("time") == only
    assert groups("time", ACROSS) == groups("time", IN_VIDEO, "second") == only
    assert groups("time", "", "other") == []
    assert queries.group(7).rows == [0, 1, 6, 7]
    assert queries.group(3).rows == [3]


def test_reasons_have_words(queries: Queries) -> None:
    assert reasons(queries.index) == {IN_VIDEO: 2, ACROSS: 1, "below_threshold": 1}
    assert reason_text("below_threshold") == "below the threshold"
    assert reason_text("some_new_reason") == "some new reason"
