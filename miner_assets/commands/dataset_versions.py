"""`video-miner dataset list` and `dataset diff`: the versions of the dataset, and what is different between two."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from miner_assets.commands.reporting import print_list, print_table
from miner_assets.commands.shared import OutputDir, err, out, project_config, reports_errors
from miner_resources.errors import NotFound

if TYPE_CHECKING:
    from miner_assets.dataset_versions import Version
    from miner_assets.logic.version_diff import BoxChange, FrameChange, Side, VersionDiff
    from miner_resources.records import Json
    from miner_resources.storage import Storage

Format = Annotated[str, typer.Option("--format", metavar="F", help="table or json.")]


@reports_errors
def list_versions(output: OutputDir = None, format: Format = "table") -> None:
    """List the versions of the dataset, oldest first; the current one is marked.

    Example: video-miner dataset list --output demo_output
    """
    from miner_assets.dataset_versions import DatasetVersions
    from miner_resources.storage import Storage

    _check_format(format)
    storage = Storage(project_config(output).output_dir)
    versions, current = DatasetVersions(storage).all(), current_version(storage)
    if format == "json":
        rows = [
            {**asdict(each.record), "current": each.record.version == current, "path": str(each.folder)}
            for each in versions
        ]
        out.file.write(json.dumps(rows, indent=1) + "\n")
        return
    if not versions:
        raise NotFound("there is no version of a dataset yet", remedy="run the stage 'dataset' first")
    columns = ["version", "made at", "videos", "pictures", "boxes", "splits", "parent", "remarks"]
    print_list(out, "versions of the dataset", columns, [_row(each, current) for each in versions])


@reports_errors
def diff_versions_command(
    before: Annotated[str, typer.Argument(metavar="A", help="Id as in `dataset list`, or its first digits.")],
    after: Annotated[str, typer.Argument(metavar="B", help="The other one; default: the current one.")] = "",
    output: OutputDir = None,
    format: Format = "table",
    limit: Annotated[int, typer.Option(min=0, metavar="N", help="Rows in each table; json has all of them.")] = 20,
) -> None:
    """Say what is different between two versions, and why.

    \b
    Examples:
      video-miner dataset diff 4f0e 91bc
      video-miner dataset diff 4f0e --format json > diff.json
    """  # noqa: D301 (typer's mark for lines that stay as they are)
    from miner_assets.dataset_versions import DatasetVersions
    from miner_assets.logic.version_diff import diff_versions
    from miner_resources.storage import Storage

    _check_format(format)
    storage = Storage(project_config(output).output_dir)
    versions = DatasetVersions(storage)
    one, other = versions.find(before), versions.find(after or current_version(storage))
    found = diff_versions(_side(one), _side(other))
    if format == "json":
        names = {"before": one.record.version, "after": other.record.version}
        redactions = {"before": one.record.redactions, "after": other.record.redactions}
        marked = {name: [asdict(each) for each in each_side] for name, each_side in redactions.items()}
        out.file.write(json.dumps({**names, **asdict(found), "redactions": marked}, indent=1) + "\n")
    else:
        _print_diff(one, other, found, limit)


def current_version(storage: "Storage") -> str:
    """The id of the version that the project's dataset is; empty if there is none."""
    try:
        record: dict[str, Any] = json.loads((storage.dataset / "made_from.json").read_bytes())
    except (OSError, ValueError):
        return ""
    return str(record.get("version", ""))


def _check_format(name: str) -> None:
    if name not in ("table", "json"):
        raise typer.BadParameter(f"{name!r} is not one of table, json", param_hint="--format")


def _side(version: "Version") -> "Side":
    from miner_assets.logic.version_diff import Side

    return Side(version.coco, version.decisions, version.record.config)


def _row(version: "Version", current: str) -> list[str]:
    record = version.record
    remarks = ["current"] if record.version == current else []
    remarks += [f"{each.videos} videos taken down {each.removed_at[:10]}" for each in record.redactions if each.videos]
    remarks += [f"stands for {name}" for name in record.replaces]
    splits = ", ".join(f"{name} {count}" for name, count in record.per_split.items())
    numbers = [str(number) for number in (record.videos, record.images, record.annotations)]
    made = f"{record.created_at[:16].replace('T', ' ')} UTC"
    return [record.version, made, *numbers, splits, record.parent or "", "; ".join(remarks)]


def _print_diff(one: "Version", other: "Version", found: "VersionDiff", limit: int) -> None:
    out.print(f"{one.record.version} → {other.record.version}", highlight=False)
    for version in (one, other):
        for each in version.record.redactions:
            err.print(
                f"[yellow]{version.record.version} is not what it was:[/yellow] {each.videos} videos with "
                f"{each.images} pictures were taken down on {each.removed_at[:10]}",
                highlight=False,
            )
    rows = [[name, *pair, _signed(*pair)] for name, pair in found.counts.items()]
    rows += [[f"  {name}", *pair, _signed(*pair)] for name, pair in found.totals.items()]
    print_table(out, ["", "before", "after", "change"], rows)
    if found.settings:
        changed = [[key, str(pair[0]), str(pair[1])] for key, pair in found.settings.items()]
        print_table(out, ["setting", "before", "after"], changed)
    if found.is_empty:
        out.print("No picture, box or split is different.")
    for what, changes in (("removed", found.removed), ("added", found.added)):
        _print_frames(what, changes, limit)
    if found.moved:
        moved: list[list[Json]] = [[name, *pair] for name, pair in found.moved.items()]
        _print_some(f"{len(moved)} pictures moved to another split", ["picture", "from", "to"], moved, limit)
    if found.repainted:
        _print_some(
            f"{len(found.repainted)} pictures have other pixels", ["picture"], [[n] for n in found.repainted], limit
        )
    _print_boxes(found, limit)


def _print_frames(what: str, changes: "Sequence[FrameChange]", limit: int) -> None:
    if not changes:
        return
    causes = Counter(change.code for change in changes)
    summary = ", ".join(f"{code.replace('_', ' ')}: {count}" for code, count in causes.most_common())
    rows: list[list[Json]] = [[change.file_name, change.split, change.why] for change in changes]
    _print_some(f"{len(changes)} pictures {what} ({summary})", ["picture", "split", "why"], rows, limit)


def _print_boxes(found: "VersionDiff", limit: int) -> None:
    if any(found.with_frames):
        added, removed = found.with_frames
        out.print(f"boxes that came with added pictures: {added}; that went with removed ones: {removed}")
    if not found.boxes:
        return
    kinds = Counter(change.what for change in found.boxes)
    summary = ", ".join(f"{kinds[what]} {what}" for what in ("added", "removed", "changed") if kinds[what])
    rows = [_box_row(change) for change in found.boxes]
    _print_some(
        f"boxes on pictures of both versions: {summary}", ["", "picture", "before", "after", "why"], rows, limit
    )


def _box_row(change: "BoxChange") -> "list[Json]":
    sides = [
        "" if box is None else f"{box.category}{'' if box.score is None else f' {box.score:.3f}'}"
        for box in (change.before, change.after)
    ]
    return [change.what, change.file_name, *sides, change.why]


def _print_some(title: str, columns: Sequence[str], rows: "Sequence[Sequence[Json]]", limit: int) -> None:
    out.print(title, highlight=False, markup=False)
    if limit:
        print_table(out, columns, rows[:limit])
    if len(rows) > limit:
        out.print(f"… and {len(rows) - limit} more (--limit, or --format json)", highlight=False)


def _signed(before: int, after: int) -> str:
    return f"{after - before:+d}" if after != before else ""
