"""Which searches are suggested, and in which order."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner_assets.logic.queries import (
    DEFAULT_CONTEXTS,
    DEFAULT_SYNONYMS,
    Query,
    search_key,
    suggest_queries,
)
from miner_resources.errors import InvalidData

# Few letters, so that classes, synonyms and contexts often coincide; case, spaces and plurals on top.
words = st.sampled_from(["car", "cars", "Bus", "buses", "box", "red", "night"])
phrases = st.lists(words, min_size=1, max_size=2).map("  ".join)
class_lists = st.lists(phrases, max_size=4)
context_lists = st.lists(phrases | phrases.map(lambda text: f"{text} {{}} at night"), max_size=4)
synonym_tables = st.dictionaries(phrases, st.lists(phrases, max_size=3), max_size=4)


def texts(classes: list[str], contexts: list[str], synonyms: dict[str, list[str]] | None = None) -> list[str]:
    return [query.text for query in suggest_queries(classes, contexts=contexts, synonyms=synonyms or {})]


def keys(queries: list[Query]) -> list[str]:
    return [search_key(query.text) for query in queries]


def test_every_name_in_every_context_by_how_far_down_the_lists_it_is() -> None:
    assert texts(["car"], ["footage", "at night"], {"car": ["automobile"]}) == [
        "car",
        "car footage",
        "automobile",
        "car at night",
        "automobile footage",
        "automobile at night",
    ]


def test_classes_take_turns() -> None:
    assert texts(["car", "bus", "cat"], ["pov"]) == ["car", "bus", "cat", "car pov", "bus pov", "cat pov"]


def test_a_query_says_where_it_comes_from() -> None:
    *_, last = suggest_queries(["Fire_Hydrant"], contexts=["red {} in snow"], synonyms={"fire hydrants": ["hydrant"]})
    assert last == Query("red hydrant in snow", "Fire_Hydrant", "hydrant", "red {} in snow")


def test_a_context_may_say_where_the_term_goes() -> None:
    assert texts(["car"], ["old {} in rain", "{}"]) == ["car", "old car in rain"]


def test_a_query_that_two_classes_share_goes_to_where_it_ranks_best() -> None:
    found = suggest_queries(["car", "automobile"], contexts=["pov"], synonyms={"car": ["automobile"]})
    assert [(query.text, query.class_name) for query in found] == [
        ("car", "car"),
        ("automobile", "automobile"),
        ("car pov", "car"),
        ("automobile pov", "automobile"),
    ]


def test_a_class_goes_on_after_the_others_have_run_out() -> None:
    assert texts(["car", "bus"], [], {"bus": ["coach", "city bus"]}) == ["car", "bus", "coach", "city bus"]


def test_a_class_named_twice_counts_once() -> None:
    assert texts(["car", "Cars", " car "], ["pov"]) == ["car", "car pov"]


def test_no_classes() -> None:
    assert suggest_queries([]) == []


@pytest.mark.parametrize(
    ("classes", "synonyms"),
    [
        pytest.param(["car", " "], {}, id="class"),
        pytest.param([""], {}, id="only class"),
        pytest.param(["car"], {"car": ["_"]}, id="synonym"),
    ],
)
def test_blank_names_are_refused(classes: list[str], synonyms: dict[str, list[str]]) -> None:
    with pytest.raises(InvalidData, match="is blank"):
        texts(classes, [], synonyms)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Forklift  Truck", "forklift trucks"),
        ("traffic_light", "traffic lights"),
        ("city", "cities"),
        ("movie", "movies"),
        ("tie", "ties"),
        ("box", "boxes"),
        ("bench", "benches"),
        ("bus", "buses"),
        ("house", "houses"),
        ("glass", "glass"),
        ("ski", "skis"),
        ("STRASSE", "straße"),
    ],
)
def test_searches_that_are_the_same(one: str, other: str) -> None:
    assert search_key(one) == search_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("school bus", "bus school"),
        ("glass", "glasses"),
        ("car", "care"),
        ("plan", "plane"),
        ("bu", "bus"),
        ("gas", "ga"),
        ("die", "dy"),
        ("close-up", "close up"),
    ],
)
def test_searches_that_differ(one: str, other: str) -> None:
    assert search_key(one) != search_key(other)


def test_the_default_tables_are_clean() -> None:
    assert len(set(map(search_key, DEFAULT_CONTEXTS))) == len(DEFAULT_CONTEXTS)
    assert len(set(map(search_key, DEFAULT_SYNONYMS))) == len(DEFAULT_SYNONYMS)
    for name, synonyms in DEFAULT_SYNONYMS.items():
        names = [name, *synonyms]
        assert names == [text.lower().strip() for text in names]
        assert len(set(map(search_key, names))) == len(names) > 1, name


def test_the_defaults_serve_any_class() -> None:
    found = suggest_queries(["forklift", "okapi"])
    count = Counter(query.class_name for query in found)
    assert count["okapi"] == 1 + len(DEFAULT_CONTEXTS)
    assert count["forklift"] == (1 + len(DEFAULT_SYNONYMS["forklift"])) * (1 + len(DEFAULT_CONTEXTS))


@given(class_lists, context_lists, synonym_tables)
def test_all_combinations_are_there_once(
    classes: list[str], contexts: list[str], synonyms: dict[str, list[str]]
) -> None:
    known = {search_key(name): names for name, names in synonyms.items()}
    expected = {
        search_key(context.replace("{}", term) if "{}" in context else f"{term} {context}")
        for name in classes
        for term in [name, *known.get(search_key(name), [])]
        for context in ["", *contexts]
    }
    found = keys(suggest_queries(classes, contexts=contexts, synonyms=synonyms))
    assert len(found) == len(set(found))
    assert set(found) == expected


@given(class_lists, context_lists, synonym_tables)
def test_the_same_question_has_the_same_answer(
    classes: list[str], contexts: list[str], synonyms: dict[str, list[str]]
) -> None:
    first = suggest_queries(classes, contexts=contexts, synonyms=synonyms)
    assert suggest_queries(classes, contexts=contexts, synonyms=synonyms) == first
    reordered = dict(reversed(synonyms.items()))
    if len(set(map(search_key, synonyms))) == len(synonyms):
        assert suggest_queries(classes, contexts=contexts, synonyms=reordered) == first


@given(class_lists, context_lists, synonym_tables, st.data())
def test_any_cut_serves_all_classes_alike(
    classes: list[str], contexts: list[str], synonyms: dict[str, list[str]], data: st.DataObject
) -> None:
    found = suggest_queries(classes, contexts=contexts, synonyms=synonyms)
    different = list(dict.fromkeys(map(search_key, classes)))
    cut = found[: data.draw(st.integers(len(different), max(len(different), len(found))))]
    count = Counter(search_key(query.class_name) for query in cut)
    assert keys(found)[: len(different)] == different, "first every class by its own name"
    assert set(count) == set(different)
    left = {search_key(query.class_name) for query in found[len(cut) :]}
    assert all(count[name] >= max(count.values()) - 1 for name in left), "nobody waits while others are served"


@given(class_lists, context_lists, synonym_tables, st.data())
def test_asking_for_less_suggests_nothing_else(
    classes: list[str], contexts: list[str], synonyms: dict[str, list[str]], data: st.DataObject
) -> None:
    def some(items: list[str]) -> list[str]:
        return [item for item in items if data.draw(st.booleans())]

    whole = keys(suggest_queries(classes, contexts=contexts, synonyms=synonyms))
    part = keys(suggest_queries(some(classes), contexts=some(contexts), synonyms=synonyms))
    assert set(part) <= set(whole)
