"""`video-miner find`: the mined frames that match a text, or are like a picture."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from miner_assets.commands.reporting import print_table
from miner_assets.commands.shared import OutputDir, err, out, project_config, reports_errors
from miner_resources.errors import InvalidData

if TYPE_CHECKING:
    from miner_assets.frame_search import FrameSearch, Match

FORMATS = ("table", "json")


@reports_errors
def find(
    text: Annotated[str | None, typer.Argument(metavar="[TEXT]", help="What the frames should show.")] = None,
    like: Annotated[
        str | None,
        typer.Option(metavar="IMAGE|FRAME_ID", help="Instead: a picture file, or a frame as VIDEO_ID:INDEX."),
    ] = None,
    top: Annotated[int, typer.Option(metavar="K", min=1, max=10_000, help="How many frames.")] = 20,
    format: Annotated[str, typer.Option("--format", metavar="F", help="table or json.")] = "table",
    output: OutputDir = None,
) -> None:
    """Find frames by what they show, best first, each with a link that opens its source at that second.

    Searches the features that the filter has stored, also of frames that it dropped; no frame is looked at anew.

    Examples:
      video-miner find "a red forklift in the rain" --top 5 --output output

      video-miner find --like holiday.jpg

      video-miner find --like dQw4w9WgXcQ:120 --format json
    """
    if (text is None) == (like is None) or not (text or like or "").strip():
        raise InvalidData("say what to find", remedy='give a text, or --like FILE: video-miner find "red car"')
    if format not in FORMATS:
        raise InvalidData(f"--format {format} is unknown", remedy=f"choose one of: {', '.join(FORMATS)}")
    from miner_assets.frame_search import FrameSearch
    from miner_assets.workspace import Workspace

    with err.status("searching …"):
        found = _search(FrameSearch(Workspace.open(project_config(output))), text, like, top)
    if format == "json":
        out.file.write(json.dumps([asdict(match) for match in found], indent=1, ensure_ascii=False) + "\n")
        return
    rows = [
        [f"{match.score:.3f}", match.frame_id, f"{match.timestamp_s:.1f} s", match.source_url or ""] for match in found
    ]
    print_table(out, ("score", "frame", "time", "link"), rows)


def _search(search: "FrameSearch", text: str | None, like: str | None, top: int) -> "list[Match]":
    if text is not None:
        return search.by_text(text, top)
    picture = Path(like or "").expanduser()
    return search.by_image(picture if picture.is_file() else like or "", top)
