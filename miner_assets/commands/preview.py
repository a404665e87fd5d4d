"""`video-miner preview`: what the thresholds of the filter do to the whole project, as numbers and as a picture."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.progress import track

from miner_assets.commands.reporting import print_table
from miner_assets.commands.shared import OutputDir, Overrides, err, out, project_config, reports_errors
from miner_resources.errors import NotFound
from miner_resources.vocabulary import Stage

OptionalFiles = Annotated[
    list[Path] | None, typer.Argument(metavar="[FILE...]", help="YAML files. Default: as in the project's last run.")
]

MOST_CLASSES: Final = 12
"""A picture of more is too long to look at."""


@reports_errors
def preview(
    files: OptionalFiles = None,
    override: Overrides = None,
    classes: Annotated[
        list[str] | None, typer.Option("--class", metavar="NAME", help="Picture only this class; may be repeated.")
    ] = None,
    frames: Annotated[int, typer.Option(min=2, max=64, help="Frames to show of each class.")] = 16,
    picture: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.jpg", help="Where to write. Default: contact_sheets/filter.jpg in the output folder."
        ),
    ] = None,
    output: OutputDir = None,
) -> None:
    """Show what filter thresholds do: counts per class, a histogram of scores, and the frames around each threshold.

    Reads stored scores: no model runs, nothing else is written. Try a threshold here, then run with it.

    Examples:
      video-miner preview --output output

      video-miner preview cars.yaml -o filter.threshold=0.1 --class forklift --picture forklift.jpg
    """
    from miner_assets.logic.filtering import question, thresholds_of
    from miner_assets.logic.threshold_preview import preview_thresholds
    from miner_assets.model_choice import model_identity
    from miner_assets.stored_scores import read_scores, read_shown_frames
    from miner_assets.threshold_sheet import score_text, threshold_sheet
    from miner_resources.images import write_picture
    from miner_resources.storage import Storage

    config = project_config(output, files or [], override or [])
    unknown = [name for name in classes or [] if name not in config.classes]
    if unknown:
        raise NotFound(
            f"no class is named {', '.join(map(repr, unknown))}", remedy=f"name some of: {', '.join(config.classes)}"
        )
    storage = Storage(config.output_dir)
    identity = model_identity(config, Stage.FILTER, config.filter.model)
    stored, left_out = read_scores(
        storage, question(config.classes, config.filter.templates), identity, track=_with_progress
    )
    if left_out:
        err.print(f"{left_out} videos are left out: they were scored for other texts or by another model; run again")
    if not len(stored.frames):
        raise NotFound(f"{storage.root} has no scores yet", remedy="run the filter first: video-miner run-config FILE")
    thresholds = thresholds_of(config.classes, config.filter.threshold)
    result = preview_thresholds(stored, thresholds, pictured=MOST_CLASSES, tiles=frames, among=classes or [])
    table = [
        [one.name, one.threshold, one.above, one.vetoed, one.below, score_text(one.median) if one.median else "-"]
        for one in result.classes
    ]
    print_table(out, ["class", "threshold", "kept", "vetoed by a negative", "below", "median score"], table)
    target = picture or storage.contact_sheets / f"{Stage.FILTER.value}.jpg"
    pictured = [frame for one in result.classes for frame in one.shown]
    title = f"{result.frames:,} frames of {result.videos:,} videos"
    rgb, unreadable = threshold_sheet(title, result, read_shown_frames(storage, pictured), storage.root)
    write_picture(target, rgb)
    if unreadable:
        err.print(f"{unreadable} frames are not shown: their pictures cannot be read")
    out.print(f"picture: {target}", highlight=False, markup=False, soft_wrap=True)


def _with_progress(paths: Sequence[Path]) -> Iterator[Path]:
    return iter(track(paths, "reading scores", console=err, transient=True))
