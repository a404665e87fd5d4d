"""`video-miner queries`: search queries for classes, to look at, to pipe on, or to watch.

The file of `--contexts` is read here; what is made of it is decided in `logic/queries.py`.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

import typer
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from miner_assets.commands.reporting import print_table
from miner_assets.commands.shared import OutputDir, err, out, project_config, reports_errors
from miner_assets.logic.queries import DEFAULT_CONTEXTS, DEFAULT_SYNONYMS, Query, suggest_queries
from miner_resources.errors import InvalidData, NotFound
from miner_resources.yaml_text import parse_yaml

COLUMNS: Final = ("query", "class", "term", "context")

_COMMENT = re.compile(r"(^|\s)#.*")
_YAML_SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})  # JSON is YAML

Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Vocabulary(BaseModel):
    """What a contexts file says; its contexts replace the default ones, its synonyms replace those of their class."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    contexts: list[Words] = [*DEFAULT_CONTEXTS]
    synonyms: dict[Words, list[Words]] = {}


@reports_errors
def queries(
    classes: Annotated[list[str], typer.Argument(metavar="CLASS...", help="What the videos should show.")],
    contexts: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Text file, one context a line, or YAML with `contexts` and `synonyms`."),
    ] = None,
    top: Annotated[int | None, typer.Option(metavar="N", min=1, help="Only the N best.")] = None,
    format: Annotated[
        Literal["text", "table", "json"], typer.Option(help="text is one query a line, to be piped.")
    ] = "text",
    add: Annotated[bool, typer.Option("--add", help="Also watch them, like `keywords add`.")] = False,
    output: OutputDir = None,
) -> None:
    """Suggest search queries for classes, best first; nothing is searched.

    A query is a class or a synonym of it, alone or in a context: words after it, or a text with {} in its place.

    Examples:
      video-miner queries forklift "pallet jack" --top 20

      video-miner queries forklift --contexts warehouse.yaml --format table

      video-miner queries forklift --top 10 --add --output output
    """
    vocabulary = read_vocabulary(contexts) if contexts else Vocabulary()
    synonyms = {**DEFAULT_SYNONYMS, **vocabulary.synonyms}
    suggested = suggest_queries(classes, contexts=vocabulary.contexts, synonyms=synonyms)[:top]
    if add:
        from miner_assets.workspace import Workspace

        new = Workspace.open(project_config(output)).catalog.add_keywords(query.text for query in suggested)
        # Not on stdout, which may be read by another program.
        err.print(f"{len(new)} keywords added, {len(suggested) - len(new)} known already")
    _print(suggested, format)


def read_vocabulary(path: Path) -> Vocabulary:
    """Read contexts one a line (`#` starts a comment), or YAML if the name ends in `.yaml`, `.yml` or `.json`.

    Raises:
        NotFound: there is no such file.
        InvalidData: it cannot be parsed, has no contexts, or has wrong keys; all of them are named.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise NotFound(f"{path} does not exist", remedy="give the path of a text or YAML file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidData(f"{path} cannot be read: {error}", remedy="save it as UTF-8 text") from error
    if path.suffix.lower() in _YAML_SUFFIXES:
        return _read_yaml(text, path)
    lines = [_COMMENT.sub("", line).strip() for line in text.splitlines()]
    found = [line for line in lines if line]
    if not found:
        raise InvalidData(f"{path} has no contexts", remedy="write one a line, for example: in a warehouse")
    return Vocabulary(contexts=found)


def _read_yaml(text: str, path: Path) -> Vocabulary:
    try:
        document = parse_yaml(text)
    except ValueError as error:
        raise InvalidData(f"{path} cannot be parsed: {error}", remedy="correct the syntax") from error
    allowed = ", ".join(Vocabulary.model_fields)
    if not isinstance(document, dict):
        raise InvalidData(f"{path} has no keys at the top level", remedy=f"write one or more of {allowed}")
    try:
        return Vocabulary.model_validate(document)
    except ValidationError as error:
        problems = "".join(f"\n  - {problem}" for problem in _explain(error, allowed))
        raise InvalidData(f"{path} is wrong:{problems}\n", remedy="correct the keys above") from None


def _explain(error: ValidationError, allowed: str) -> list[str]:
    problems: list[str] = []
    for detail in error.errors():
        dotted = ".".join(str(part) for part in detail["loc"] if part != "[key]")
        unknown = detail["type"] == "extra_forbidden"
        what = f"unknown key, allowed is {allowed}" if unknown else f"{detail['msg']}, not {detail['input']!r}"
        problems.append(f"{dotted}: {what}")
    return problems


def _print(suggested: Sequence[Query], format: str) -> None:
    rows = [[query.text, query.class_name, query.term, query.context] for query in suggested]
    if format == "json":
        out.file.write(json.dumps([dict(zip(COLUMNS, row, strict=True)) for row in rows], indent=1) + "\n")
    elif format == "table":
        print_table(out, COLUMNS, rows)
    else:
        out.file.write("".join(f"{query.text}\n" for query in suggested))
