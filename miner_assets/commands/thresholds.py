"""`video-miner thresholds`: what other thresholds would keep, from stored scores, without a model."""

import json
from collections.abc import Iterator, Sequence
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
    from miner_assets.threshold_grid import Counted

FILTER = "0.05,0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9"
DEDUP = "0.8,0.85,0.9,0.92,0.94,0.96,0.98,0.99"
DETECTION = "0.05,0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9"
FORMATS = ("table", "json")


@reports_errors
def thresholds(
    filter: Annotated[str, typer.Option(metavar="A,B,…", help="Thresholds of the filter to try.")] = FILTER,
    dedup: Annotated[str, typer.Option(metavar="A,B,…", help="Of near-duplicates within a video.")] = DEDUP,
    detection: Annotated[str, typer.Option(metavar="A,B,…", help="Of the detector.")] = DETECTION,
    format: Annotated[str, typer.Option("--format", metavar="F", help="table or json.")] = "table",
    output: OutputDir = None,
) -> None:
    """Count what other thresholds would keep, one stage at a time and the others as they are.

    Exactly what a run with them would decide, but for frames that were never embedded; those are counted apart.
    `video-miner preview` shows the frames around a threshold of the filter.

    Examples:
      video-miner thresholds --output output

      video-miner thresholds --filter 0.1,0.15,0.2 --detection 0.25,0.35 --format json
    """
    grids = {name: _grid(name, text) for name, text in (("filter", filter), ("dedup", dedup), ("detection", detection))}
    if format not in FORMATS:
        raise InvalidData(f"--format {format} is unknown", remedy=f"choose one of: {', '.join(FORMATS)}")
    counted, classes = _count(output, grids)
    if format == "json":
        rows = {name: [asdict(row) for row in found] for name, found in counted.items()}
        out.file.write(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
        return
    for name, title in (
        ("filter", "frames that show a class"),
        ("dedup", "frames unique in their video"),
        ("detection", "frames with boxes"),
    ):
        _print(name, title, counted[name], classes)


def _count(output: Path | None, grids: dict[str, list[float]]) -> "tuple[dict[str, list[Counted]], list[str]]":
    from miner_assets.logic.filtering import question
    from miner_assets.model_choice import chosen_model, model_identity
    from miner_assets.stored_scores import read_scores
    from miner_assets.threshold_grid import dedup_grid, detection_grid, filter_grid
    from miner_resources.storage import Storage

    config = project_config(output)
    storage = Storage(config.output_dir)
    identity = model_identity(config, Stage.FILTER, chosen_model(config, Stage.FILTER, config.filter.model))
    asked = question(config.classes, config.filter.templates)
    stored, left_out = read_scores(storage, asked, identity, track=_with_progress)
    if left_out:
        err.print(f"{left_out} videos are left out: they were scored for other texts or by another model; run again")
    if not len(stored.frames):
        raise NotFound(f"{storage.root} has no scores yet", remedy="run the filter first: video-miner run-config FILE")
    videos = stored.frames["video_id"].unique(maintain_order=True).to_list()
    with err.status("deciding …"):
        return {
            "filter": filter_grid(stored, storage, config, grids["filter"]),
            "dedup": dedup_grid(storage, videos, grids["dedup"]),
            "detection": detection_grid(storage, videos, config, grids["detection"]),
        }, list(stored.classes)


def _grid(name: str, text: str) -> list[float]:
    try:
        values = sorted({float(part) for part in text.split(",") if part.strip()})
    except ValueError:
        values = []
    low = -1.0 if name == "dedup" else 0.0
    if not values or not all(low <= value <= 1.0 for value in values):
        raise InvalidData(f"--{name} {text} is no list of thresholds", remedy=f"such as --{name} 0.2,0.3,0.5")
    return values


def _print(name: str, title: str, rows: "Sequence[Counted]", classes: Sequence[str]) -> None:
    shown = list(classes) if any(row.items for row in rows) else []
    columns = [f"{name} threshold", title, "", *shown]
    unseen = any(row.unseen for row in rows)
    table: list[list[str]] = []
    for row in rows:
        share = f"{row.kept / row.of:.0%} of {row.of:,}" if row.of else ""
        cells = [f"{row.threshold:g}", f"{row.kept:,}", share, *(f"{row.items.get(each, 0):,}" for each in shown)]
        table.append([*cells, f"{row.unseen:,}"] if unseen else cells)
    print_table(out, [*columns, "not embedded yet"] if unseen else columns, table)


def _with_progress(paths: Sequence[Path]) -> Iterator[Path]:
    return iter(track(paths, "reading scores", console=err, transient=True))
