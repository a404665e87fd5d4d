"""The asset `dataset`: unique frames and their boxes as COCO, with splits that do not leak, and its checks."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import dagster as dg

from miner_assets.checks import SHOWN
from miner_assets.dataset_exports import CARD
from miner_assets.dataset_folder import SHEET
from miner_assets.dataset_splits import dataset_crossing, near_duplicate_threshold
from miner_assets.dataset_step import DatasetStep
from miner_assets.funnel import count_funnel
from miner_assets.launchpad import launchpad_schema, with_overrides
from miner_assets.logic.coco_checks import check_coco, dataset_summary
from miner_assets.logic.coco_format import Coco, read_coco
from miner_assets.logic.funnel import COLUMNS
from miner_assets.logic.splits import duplicate_edges
from miner_assets.metadata import explored, picture, table
from miner_assets.workspace import Workspace
from miner_resources.config_sections import DatasetConfig
from miner_resources.errors import InvalidData
from miner_resources.records import UNIQUE_FRAMES_SCHEMA
from miner_resources.tables import read_table

RIGHTS_CHECK: Final = "rights"
LEAK_CHECK: Final = "splits_do_not_leak"
COCO_CHECK: Final = "valid"


@dg.asset(
    deps=["unique_frames", "detections"],
    group_name="dataset",
    kinds={"coco"},
    code_version="1",
    check_specs=[
        dg.AssetCheckSpec(
            RIGHTS_CHECK, asset="dataset", blocking=True, description="Every video is allowed by the policy `rights`."
        ),
        dg.AssetCheckSpec(
            LEAK_CHECK, asset="dataset", blocking=True, description="Nothing that looks alike lies in two splits."
        ),
        dg.AssetCheckSpec(COCO_CHECK, asset="dataset", blocking=True, description="The COCO file keeps its contract."),
    ],
    config_schema=launchpad_schema(DatasetConfig),
)
def dataset(
    context: dg.AssetExecutionContext, workspace: dg.ResourceParam[Workspace]
) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult[Any]]:
    """The COCO dataset over all unique frames, split by video so that near-duplicates never cross a split.

    Boxes below the confidence threshold are left out here, so another threshold costs no model. A dataset that would
    violate the rights policy is not written: the one that is there stays as it is.
    """
    config = with_overrides(workspace.config.dataset, context.op_execution_context.op_config, "dataset")
    step = DatasetStep(workspace, config)
    violations = step.violations()
    yield _rights_checked(violations, workspace.config.rights)
    if violations:
        raise _rights_violated(violations, workspace.config.rights)
    if step.is_current():
        step.confirm()
    else:
        report = step.run()
        context.log.info("%d videos left out without detections: %s", len(report.unlabelled), report.unlabelled)
    coco = read_coco(workspace.storage.annotations)
    yield _not_leaking(workspace, coco)
    problems = check_coco(coco, files={path.name for path in workspace.storage.deduplicated_frames.iterdir()})
    yield dg.AssetCheckResult(check_name=COCO_CHECK, passed=not problems, metadata={"problems": "; ".join(problems)})
    splits = [(each.split, each.category or "all", each.images, each.annotations) for each in dataset_summary(coco)]
    yield dg.MaterializeResult(
        metadata={
            "rows": len(coco["images"]),
            "kept": len(coco["images"]),
            "rejected": 0,
            "annotations": len(coco["annotations"]),
            "version": step.version(),
            "splits": table(("split", "class", "images", "boxes"), splits),
            "funnel": table(COLUMNS, [row.cells() for row in count_funnel(workspace, coco)]),
            **explored(),
            "card": dg.MetadataValue.path(workspace.storage.dataset / CARD),
            **picture(workspace.storage, workspace.storage.dataset / SHEET),
        },
        data_version=dg.DataVersion(step.keys().version),
    )


def _not_leaking(workspace: Workspace, coco: Coco) -> dg.AssetCheckResult:
    """Recorded repeats, and the pictures themselves: their embeddings are compared again, split by split."""
    names = {video["id"]: video["name"] for video in coco["videos"]}
    splits: dict[str, set[str]] = {}
    for image in coco["images"]:
        splits.setdefault(names[image["video_id"]], set()).add(image["split"])
    unique = read_table(workspace.storage.unique_table, UNIQUE_FRAMES_SCHEMA)
    pairs = [pair for pair in duplicate_edges(unique) if all(name in splits for name in pair)]
    crossing = dataset_crossing(workspace, coco)
    leaks = [
        *((video, "", "lies in several splits") for video, found in splits.items() if len(found) > 1),
        *((one, other, "repeats of each other") for one, other in pairs if splits[one] != splits[other]),
        *((one, other, "pictures that look alike") for one, other in crossing.leaks),
    ]
    highest = crossing.highest
    return dg.AssetCheckResult(
        check_name=LEAK_CHECK,
        passed=not leaks,
        metadata={
            "pairs of videos that share footage": len(pairs),
            "near-duplicates from": near_duplicate_threshold(workspace),
            **({} if highest is None else {"highest similarity across splits": highest}),
            "leaks": table(("video", "other", "why"), leaks[:SHOWN]),
        },
    )


def _rights_checked(violations: Mapping[str, str], policy: str) -> dg.AssetCheckResult:
    videos = table(("video", "why"), list(violations.items()))
    metadata = {"policy": policy, "violations": len(violations), "videos": videos}
    return dg.AssetCheckResult(check_name=RIGHTS_CHECK, passed=not violations, metadata=metadata)


def _rights_violated(violations: Mapping[str, str], policy: str) -> InvalidData:
    some = "; ".join(f"{video_id}: {reason}" for video_id, reason in list(violations.items())[:5])
    return InvalidData(
        f"{len(violations)} videos violate the policy `rights: {policy}`: {some}",
        remedy="remove them (`registry remove`), ask again (--force download), or set another `rights`",
    )
