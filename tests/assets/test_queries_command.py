"""`video-miner queries`: formats, contexts files, and adding to the watched keywords."""

import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from miner_assets.commands.queries import queries
from miner_assets.logic.queries import DEFAULT_CONTEXTS, DEFAULT_SYNONYMS, suggest_queries
from miner_resources.catalog import Catalog
from miner_resources.storage import Storage

app = typer.Typer()
app.command("queries")(queries)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("VIDEO_MINER_CONFIG", "VIDEO_MINER_OUTPUT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    def _write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return _write


def invoke(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


def lines(*arguments: object) -> list[str]:
    return invoke(*arguments).stdout.splitlines()


def test_one_query_a_line_best_first_and_nothing_touched(tmp_path: Path) -> None:
    expected = [query.text for query in suggest_queries(["forklift", "zebra"])]
    assert lines("forklift", "zebra") == expected
    assert expected[:4] == ["forklift", "zebra", f"forklift {DEFAULT_CONTEXTS[0]}", f"zebra {DEFAULT_CONTEXTS[0]}"]
    assert not list(tmp_path.iterdir())


def test_long_queries_are_not_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    assert lines("a very long name [of] something rare", "--top", 1) == ["a very long name [of] something rare"]


def test_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert lines("forklift")


def test_top() -> None:
    assert lines("forklift", "zebra", "--top", 3) == lines("forklift", "zebra")[:3]
    assert len(lines("zebra", "--top", 1000)) == 1 + len(DEFAULT_CONTEXTS)


def test_json_says_where_a_query_comes_from() -> None:
    rows = json.loads(invoke("car", "--top", 3, "--format", "json").stdout)
    synonym = DEFAULT_SYNONYMS["car"][0]
    assert rows == [
        {"query": "car", "class": "car", "term": "car", "context": ""},
        {
            "query": f"car {DEFAULT_CONTEXTS[0]}",
            "class": "car",
            "term": "car",
            "context": DEFAULT_CONTEXTS[0],
        },
        {"query": synonym, "class": "car", "term": synonym, "context": ""},
    ]


def test_table() -> None:
    text = invoke("zebra", "--top", 2, "--format", "table").stdout
    for part in ("query", "class", "term", "context", f"zebra {DEFAULT_CONTEXTS[0]}"):
        assert part in text


@pytest.mark.parametrize(
    "arguments",
    [[], ["car", "--format", "xml"], ["car", "--top", "0"], ["car", "--top", "many"]],
    ids=["no class", "unknown format", "top of nothing", "top in words"],
)
def test_wrong_usage(arguments: list[str]) -> None:
    invoke(*arguments, code=2)


def test_a_blank_class() -> None:
    assert "what to do:" in invoke("car", " ", code=1).stderr


def test_a_text_file_replaces_the_default_contexts(write: Callable[[str, str], Path]) -> None:
    file = write("contexts.txt", "\ufeff# where they work\n\nin a  warehouse  # indoors\n{} in snow\n")
    assert lines("zebra", "--contexts", file) == ["zebra", "zebra in a warehouse", "zebra in snow"]
    assert lines("car", "--contexts", file)[2] == DEFAULT_SYNONYMS["car"][0], "default synonyms stay"


def test_a_yaml_file_has_contexts_and_synonyms(write: Callable[[str, str], Path]) -> None:
    file = write("contexts.YAML", "contexts: [at sea]\nsynonyms: {Boats: [yacht], okapi: [forest giraffe], car: []}\n")
    assert lines("boat", "--contexts", file) == ["boat", "boat at sea", "yacht", "yacht at sea"]
    assert lines("okapi", "--contexts", file)[2] == "forest giraffe"
    assert lines("car", "--contexts", file) == ["car", "car at sea"]
    assert DEFAULT_SYNONYMS["bus"][0] in lines("bus", "--contexts", file), "other classes keep theirs"


def test_what_a_yaml_file_leaves_out_stays_default(write: Callable[[str, str], Path]) -> None:
    file = write("synonyms.yml", "synonyms: {okapi: [forest giraffe]}")
    assert lines("zebra", "--contexts", file) == lines("zebra")
    assert lines("car", "--contexts", write("none.yaml", "contexts: []")) == ["car", *DEFAULT_SYNONYMS["car"]]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        pytest.param("a.txt", "# nothing\n\n", ["has no contexts", "one a line"], id="no contexts"),
        pytest.param("a.yaml", "", ["no keys", "contexts, synonyms"], id="empty"),
        pytest.param("a.yaml", "- footage\n", ["no keys", "contexts, synonyms"], id="a list"),
        pytest.param("a.yaml", "contexts: [", ["cannot be parsed"], id="syntax"),
        pytest.param(
            "a.yaml",
            "context: [a]\nsynonyms: {car: auto, bus: ['']}\n3: x\n",
            ["context: unknown key, allowed is contexts, synonyms", "synonyms.car: ", "'auto'", "synonyms.bus.0: "],
            id="all problems at once",
        ),
        pytest.param("a.yaml", "contexts: [night, 2024, no]", ["contexts.1: ", "2024", "contexts.2: "], id="not text"),
        pytest.param("a.yaml", "contexts:", ["contexts: ", "None"], id="no value"),
    ],
)
def test_wrong_files_are_explained(write: Callable[[str, str], Path], name: str, text: str, said: list[str]) -> None:
    file = write(name, text)
    result = invoke("car", "--contexts", file, code=1)
    assert result.stdout == ""
    for part in [str(file), *said, "what to do:"]:
        assert part in result.stderr


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes("Straße".encode("latin-1"))
    assert "does not exist" in invoke("car", "--contexts", tmp_path / "none.txt", code=1).stderr
    assert "cannot be read" in invoke("car", "--contexts", tmp_path, code=1).stderr
    assert "cannot be read" in invoke("car", "--contexts", tmp_path / "latin.txt", code=1).stderr


def test_add_watches_what_is_printed(tmp_path: Path) -> None:
    project = tmp_path / "project"
    first = invoke("zebra", "--top", 3, "--add", "--output", project)
    assert "3 keywords added, 0 known already" in first.stderr
    second = invoke("zebra", "--top", 4, "--add", "--output", project)
    assert "1 keywords added, 3 known already" in second.stderr
    watched = [row.keyword for row in Catalog(Storage(project)).keywords()]
    assert watched == second.stdout.splitlines()


def test_help_has_examples() -> None:
    text = invoke("--help").stdout
    assert "video-miner queries forklift --contexts warehouse.yaml" in text
    assert "a text with {} in its place" in text
