"""`video-miner find`: frames that match a text or look like a picture, with links that open the source there."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.progress import track

from miner_assets.commands.reporting import check_format, print_list, print_rows
from miner_assets.commands.shared import OutputDir, err, out, project_config, reports_errors
from miner_resources.errors import InvalidData

if TYPE_CHECKING:
    from miner_assets.frame_search import Match
    from miner_resources.records import Rgb
    from miner_resources.storage import Storage

COLUMNS: Final = ("frame_id", "video_id", "frame_index", "score", "timestamp_s", "source_url")


@reports_errors
def find(
    text: Annotated[str | None, typer.Argument(metavar="TEXT", help="What the frames show.")] = None,
    like: Annotated[
        str | None, typer.Option(metavar="IMAGE|FRAME_ID", help="Instead of a text: a picture file or a frame.")
    ] = None,
    top: Annotated[int, typer.Option("--top", "-k", min=1, help="How many frames, at most.")] = 20,
    format: Annotated[str, typer.Option(metavar="F", help="table, json or csv.")] = "table",
    sheet: Annotated[
        Path | None, typer.Option(metavar="FILE.jpg", help="Also write a contact sheet of what was found.")
    ] = None,
    output: OutputDir = None,
) -> None:
    """Find frames among all that were mined, also among those that the filter dropped, best first.

    Compares stored features: the model runs over the text or picture only. Scores of a text are those of the filter.

    Examples:
      video-miner find "a red forklift" --output output

      video-miner find "a person on a ladder" --top 50 --format csv > ladders.csv

      video-miner find --like dQw4w9WgXcQ:1200 --sheet alike.jpg

      video-miner find --like photo.jpg
    """
    if (text is None) == (like is None):
        raise typer.BadParameter("give either a TEXT or --like, not both and not neither", param_hint="TEXT")
    check_format(format)
    from miner_assets.frame_search import FRAME_ID, FrameSearch
    from miner_assets.workspace import Workspace

    workspace = Workspace.open(project_config(output))
    search = FrameSearch(workspace, notice=_say, track=_with_progress)
    if text is not None:
        matches = search.by_text(text, top)
    else:
        named = str(like)
        is_frame = FRAME_ID.fullmatch(named) and not Path(named).exists()
        matches = search.by_image(named if is_frame else Path(named), top)
    if format == "table":
        _print_table(matches)
    else:
        print_rows(out, COLUMNS, [[*asdict(match).values()] for match in matches], format)
    if sheet is not None:
        _write_sheet(sheet, workspace.storage, matches)


def _print_table(matches: "Sequence[Match]") -> None:
    from miner_assets.threshold_sheet import score_text

    rows = [
        [score_text(match.score), match.frame_id, f"{match.timestamp_s:.1f}", match.source_url] for match in matches
    ]
    print_list(out, f"{len(matches)} frames", ("score", "frame", "seconds", "opens there"), rows)


def _write_sheet(path: Path, storage: "Storage", matches: "Sequence[Match]") -> None:
    from miner_assets.stored_scores import read_frames_of
    from miner_assets.threshold_sheet import score_text
    from miner_resources.drawing import contact_sheet
    from miner_resources.images import limit_side, read_image, write_picture

    frames = read_frames_of(storage, [(match.video_id, match.frame_index) for match in matches])
    paths = {(video_id, index): name for video_id, index, _, name in frames.iter_rows()}
    tiles: list[tuple[Rgb, str, bool]] = []
    for match in matches:
        try:
            picture = read_image(storage.root / paths[match.video_id, match.frame_index])
        except (InvalidData, KeyError):  # gone or broken; the others are worth seeing
            continue
        text = f"{score_text(match.score)}  {match.video_id} {match.timestamp_s:.1f} s"
        tiles.append((limit_side(picture, 480), text, True))
    if len(tiles) < len(matches):
        _say(f"{len(matches) - len(tiles)} frames are not shown: their pictures cannot be read")
    write_picture(path, contact_sheet(tiles))
    _say(f"picture: {path}")


def _say(text: str) -> None:
    err.print(text, highlight=False, markup=False, soft_wrap=True)


def _with_progress(paths: list[Path]) -> Iterator[Path]:
    return iter(track(paths, "reading vectors", console=err, transient=True, disable=not err.is_terminal))
