"""`video-miner dataset rebuild`: a dataset from its manifest, with a report of what could be had again."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from miner_assets.commands.reporting import print_table
from miner_assets.commands.shared import SOME_FAILED, OutputDir, err, out, project_config, reports_errors
from miner_resources.errors import NotFound

if TYPE_CHECKING:
    from miner_assets.logic.exports.manifest import Manifest
    from miner_assets.rebuild import VideoOutcome
    from miner_resources.storage import Storage

ManifestFile = Annotated[
    str, typer.Argument(metavar="MANIFEST", help="manifest.parquet, the folder that it is in, or a URL of it.")
]
Folder = Annotated[
    Path, typer.Argument(metavar="DEST", help="A new folder, or that of the same rebuild, which goes on.")
]
Videos = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Video files that need not be fetched, such as a project's folder videos."),
]


@reports_errors
def rebuild(manifest: ManifestFile, folder: Folder, videos: Videos = None, output: OutputDir = None) -> None:
    """Make a dataset again from its manifest: fetch the videos, decode the same frames, compare them with their hashes.

    exact: the same bytes. similar: the same frame from another encode; its boxes are scaled with it. different: another
    picture is at that time. gone: no video, or no frame there. Exact and similar pictures come into the dataset. Proxy,
    cookies and pacing are those of the project (--output).

    \b
    Examples:
      video-miner dataset rebuild exports/manifest rebuilt
      video-miner dataset rebuild s3://bucket/manifest/manifest.parquet rebuilt --videos output/videos
    """  # noqa: D301 (typer's mark for lines that stay as they are)
    from miner_assets.rebuild import Rebuild
    from miner_resources.catalog import Catalog
    from miner_resources.web.client import WebClient

    config = project_config(output)
    wanted = _read(manifest)

    def client(work: "Storage") -> WebClient:
        return WebClient(config.download, config.pacing, Catalog(work), lambda reason: _waits(progress, reason))

    bars = (TextColumn("rebuild"), BarColumn(bar_width=32), MofNCompleteColumn(), TextColumn("pictures"))
    with Progress(*bars, console=err, transient=True) as progress:
        task = progress.add_task("rebuild", total=len(wanted.coco["images"]))
        outcomes = Rebuild(
            wanted, folder, client=client, videos=videos, advance=lambda count: progress.advance(task, count)
        ).run()
    _print(outcomes, folder)
    if any(outcome.count("different") or outcome.count("gone") for outcome in outcomes):
        raise typer.Exit(SOME_FAILED)


def _read(source: str) -> "Manifest":
    import fsspec

    from miner_assets.logic.exports.manifest import FILE, read_manifest
    from miner_resources.published.places import shown_url

    if "://" not in source:
        return read_manifest(Path(source))
    url = source if source.endswith(".parquet") else f"{source.rstrip('/')}/{FILE}"
    with tempfile.TemporaryDirectory(prefix="video-miner-") as folder:
        target = Path(folder) / FILE
        try:
            files, path = fsspec.core.url_to_fs(url)
            files.get_file(path, str(target))
        except Exception as error:
            raise NotFound(f"{shown_url(url)} cannot be read: {error}", remedy="check the address") from error
        return read_manifest(target)


def _waits(progress: Progress, reason: str) -> None:
    if reason:
        progress.console.print(f"waiting: {reason}", highlight=False, markup=False, soft_wrap=True)


def _print(outcomes: list["VideoOutcome"], folder: Path) -> None:
    columns = ("video", "frames", "exact", "similar", "different", "gone", "why")
    rows = [
        [
            one.video_id,
            len(one.pictures),
            *(one.count(how) for how in ("exact", "similar", "different", "gone")),
            one.reason,
        ]
        for one in outcomes
    ]
    print_table(out, columns, rows)
    total = sum(len(one.pictures) for one in outcomes)
    back = sum(picture.is_back for one in outcomes for picture in one.pictures)
    out.print(
        f"{back:,} of {total:,} pictures are back: {folder / 'annotations.json'}", highlight=False, soft_wrap=True
    )
