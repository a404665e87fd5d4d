"""`video-miner thresholds`: what other thresholds would keep, from what is stored, without a model."""

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import track

from miner_assets.commands.reporting import print_table
from miner_assets.commands.shared import OutputDir, err, out, project_config, reports_errors
from miner_resources.errors import InvalidData, NotFound
from miner_resources.vocabulary import Stage

if TYPE_CHECKING:
    from miner_assets.logic.threshold_grid import Counted
    from miner_assets.threshold_gallery import ExampleCollector
    from miner_assets.workspace import Workspace
    from miner_resources.records import Video

FILTER = "0.05,0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9"
DEDUP = "0.8,0.85,0.9,0.92,0.94,0.96,0.98,0.99"
DETECTION = "0.05,0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9"
FORMATS = ("table", "json")

_USUAL = "Default: a grid, and the configured one."


@reports_errors
def thresholds(
    filter: Annotated[
        str | None, typer.Option(metavar="A,B,…", help=f"Thresholds of the filter to try. {_USUAL}")
    ] = None,
    dedup: Annotated[str | None, typer.Option(metavar="A,B,…", help=f"Of near-duplicates. {_USUAL}")] = None,
    detection: Annotated[str | None, typer.Option(metavar="A,B,…", help=f"Of the detector. {_USUAL}")] = None,
    format: Annotated[str, typer.Option("--format", metavar="F", help="table or json.")] = "table",
    page: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.html", help="Where to write the page. Default: contact_sheets/thresholds.html; json: none."
        ),
    ] = None,
    output: OutputDir = None,
) -> None:
    """Count what other thresholds would keep, one stage at a time and the others as they are; no model runs.

    Exactly what a run with them would keep. Where a run would have to compute something first, that is said: ≈ is an
    estimate, ≥ a lower bound. The page has a chart, and shows the frames, pairs and boxes just above and just below
    the configured thresholds, or those that are named. `video-miner preview` shows single classes.

    Examples:
      video-miner thresholds --output output

      video-miner thresholds --filter 0.1,0.15,0.2 --page tried.html

      video-miner thresholds --detection 0.25,0.35 --format json
    """
    asked = {
        name: _grid(name, text)
        for name, text in (("filter", filter), ("dedup", dedup), ("detection", detection))
        if text is not None
    }
    if format not in FORMATS:
        raise InvalidData(f"--format {format} is unknown", remedy=f"choose one of: {', '.join(FORMATS)}")
    if page is not None and page.suffix.lower() not in (".html", ".htm"):
        raise InvalidData(f"--page {page} is no page", remedy="let the name end in .html")
    from miner_assets.workspace import Workspace

    workspace = Workspace.open(project_config(output))
    counted, examples = _count(workspace, asked)
    if format == "json":
        rows = {name: [asdict(row) for row in found] for name, found in counted.items()}
        out.file.write(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
    else:
        _print(counted)
    if page is not None or format == "table":
        _write_page(workspace, counted, asked.get("filter"), examples, page)


def _count(
    workspace: "Workspace", asked: Mapping[str, list[float]]
) -> "tuple[dict[str, list[Counted]], ExampleCollector]":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Dagster's, about its own beta features
        from miner_assets.threshold_counts import MOST_ACROSS, ThresholdCounter, configured
        from miner_assets.threshold_gallery import ExampleCollector
        from miner_assets.threshold_inputs import ThresholdInputs

    now = asdict(configured(workspace.config))
    usual = {"filter": FILTER, "dedup": DEDUP, "detection": DETECTION}
    grids = {name: asked.get(name) or [*_grid(name, text), now[name]] for name, text in usual.items()}
    examples = ExampleCollector(
        workspace.config, asked.get("dedup") or [now["dedup"]], asked.get("detection") or [now["detection"]]
    )
    counter = ThresholdCounter(workspace.config, grids)
    inputs, videos = ThresholdInputs(workspace, _with_progress), 0
    for video in inputs.videos():
        counter.see(video)
        examples.see(video)
        videos += 1
    if inputs.left_out:
        _say(f"{inputs.left_out} videos are left out: not scored, or for other texts or by another model; run again")
    if not videos:
        raise NotFound(
            f"{workspace.storage.root} has no scores yet", remedy="run the filter first: video-miner run-config FILE"
        )
    with err.status("comparing videos …"):
        counted = counter.counted()
    if any(row.images is None for rows in counted.values() for row in rows):
        _say(f"images of the dataset are not counted where more than {MOST_ACROSS:,} frames would have to be compared")
    return counted, examples


def _grid(name: str, text: str) -> list[float]:
    try:
        values = sorted({float(part) for part in text.split(",") if part.strip()})
    except ValueError:
        values = []
    low = -1.0 if name == "dedup" else 0.0
    if not values or not all(low <= value <= 1.0 for value in values):
        raise InvalidData(f"--{name} {text} is no list of thresholds", remedy=f"such as --{name} 0.2,0.3,0.5")
    return values


def _print(counted: "Mapping[str, Sequence[Counted]]") -> None:
    from miner_assets.logic.threshold_grid import KEYS, table_head, table_rows

    for name, rows in counted.items():
        marked = [["now" if row.current else "", *cells] for row, cells in zip(rows, table_rows(rows), strict=True)]
        out.print(f"[bold]{KEYS[name]}[/bold]", highlight=False)
        print_table(out, ["", *table_head(name, rows)], marked)


def _write_page(
    workspace: "Workspace",
    counted: "Mapping[str, Sequence[Counted]]",
    around: Sequence[float] | None,
    examples: "ExampleCollector",
    page: Path | None,
) -> None:
    from miner_assets.logic.filtering import question
    from miner_assets.model_choice import chosen_model, model_identity
    from miner_assets.stored_scores import read_scores
    from miner_assets.threshold_page import ThresholdPage

    config, storage = workspace.config, workspace.storage
    asked = question(config.classes, config.filter.templates)
    identity = model_identity(config, Stage.FILTER, chosen_model(config, Stage.FILTER, config.filter.model))
    scores, _ = read_scores(storage, asked, identity, track=iter)
    html = ThresholdPage(storage, config).html(counted, scores, around or [config.filter.threshold], examples)
    target = page or storage.contact_sheets / "thresholds.html"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(html, encoding="utf-8")
    except OSError as error:
        raise InvalidData(f"{target} cannot be written: {error.strerror}", remedy="name another place") from error
    _say(f"page: {target}")


def _say(text: str) -> None:
    err.print(text, highlight=False, markup=False, soft_wrap=True)


def _with_progress(videos: "Sequence[Video]") -> "Iterator[Video]":
    return iter(track(videos, "reading", console=err, transient=True, disable=not err.is_terminal))
