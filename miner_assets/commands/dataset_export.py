"""`video-miner dataset export`: the dataset in another format, here or at a URL."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from miner_assets.commands.shared import OutputDir, err, out, project_config, reports_errors
from miner_assets.logic.exports.options import DEFAULT_SHARD_BYTES, SERVED_PICTURES, ExportOptions
from miner_resources.vocabulary import ExportFormat

if TYPE_CHECKING:
    from miner_assets.logic.exports.snapshot import Snapshot
    from miner_resources.config import MinerConfig

MEGA: Final = 1_000_000

Destination = Annotated[
    str,
    typer.Argument(
        metavar="DEST", help="A folder, or a URL such as s3://bucket/folder. An earlier export there is replaced."
    ),
]
Format = Annotated[ExportFormat, typer.Option("--format", "-f", help="What to write; docs/export.md describes each.")]
From = Annotated[
    Path | None,
    typer.Option(
        "--from", metavar="DIR", help="A folder with annotations.json and images/ instead of the project's dataset."
    ),
]
Version = Annotated[
    str | None,
    typer.Option("--version", metavar="ID", help="An older version, or its first letters; see `dataset list`."),
]
ShardSize = Annotated[int, typer.Option(min=1, metavar="MB", help="Size of the files of webdataset and hf.")]
ImageUrl = Annotated[str, typer.Option(metavar="PREFIX", help="labelstudio: where its server finds the pictures.")]


@reports_errors
def export(  # noqa: PLR0913 (its options)
    destination: Destination,
    format: Format,
    source: From = None,
    version: Version = None,
    shard_size: ShardSize = DEFAULT_SHARD_BYTES // MEGA,
    image_url: ImageUrl = SERVED_PICTURES,
    output: OutputDir = None,
) -> None:
    """Write the dataset in another format, to a folder or to any URL that fsspec knows.

    The export appears whole or not at all: its file list `_export.json` is written last. Stopped, the same command goes
    on where it was; repeated, it sends only what has changed. Local exports share the pictures' disk space.

    \b
    Examples:
      video-miner dataset export --format yolo exports/yolo --output demo_output
      video-miner dataset export --format hf s3://bucket/dataset
      video-miner dataset export --format yolo exports/before --version 7b35c211
      video-miner dataset export --format coco exports/coco --from rebuilt
    """  # noqa: D301 (typer's mark for lines that stay as they are)
    from miner_assets.dataset_exports import card_of, encoding_of
    from miner_assets.export_log import record_export
    from miner_assets.logic.exports.formats import export as write_export
    from miner_resources.published.places import shown_url
    from miner_resources.storage import Storage
    from miner_resources.video_source import utc_now

    config = project_config(output)
    if source is not None and version is not None:
        raise typer.BadParameter("give --from or --version, not both", param_hint="--version")
    storage = Storage(config.output_dir)
    snapshot = _snapshot(config, source, version)
    record_export(storage, destination, format=format, version=snapshot.key, at=utc_now())
    is_current = source is None and version is None
    card = card_of(storage, format) if is_current else None
    options = ExportOptions(shard_size * MEGA, image_url, encoding_of(config), card)
    shown = shown_url(destination)
    bars = (
        TextColumn(format),
        BarColumn(bar_width=32),
        MofNCompleteColumn(),
        TextColumn("pictures"),
        TimeRemainingColumn(),
    )
    with Progress(*bars, console=err, transient=True) as progress:
        task = progress.add_task(format, total=len(snapshot.coco["images"]))
        done = write_export(snapshot, format, destination, options, lambda count: progress.advance(task, count))
    out.print(
        f"{format}: {done.images:,} pictures with {done.annotations:,} boxes in {done.files:,} files, "
        f"{done.size_bytes / MEGA:,.1f} MB, at {shown}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def _snapshot(config: "MinerConfig", source: Path | None, version: str | None) -> "Snapshot":
    from miner_assets.dataset_exports import current_dataset
    from miner_assets.dataset_versions import DatasetVersions
    from miner_assets.logic.exports.snapshot import read_snapshot
    from miner_assets.workspace import Workspace

    workspace = Workspace.open(config)
    folder = DatasetVersions(workspace.storage).find(version).folder if version is not None else source
    if folder is None:
        return current_dataset(workspace)
    return read_snapshot(folder / "annotations.json", folder / "images")
