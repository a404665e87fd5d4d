"""The dataset in the formats of `dataset.formats`, under `dataset/exports/`, made by the `dataset` stage.

COCO needs none: it is there as `detections/annotations.json` and `frames_deduplicated/`.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from miner_assets.logic.exports.formats import export, export_key
from miner_assets.logic.exports.options import Encoding, ExportOptions
from miner_assets.logic.exports.snapshot import Snapshot, read_snapshot, snapshot_key
from miner_assets.workspace import Workspace
from miner_resources.config import MinerConfig
from miner_resources.published.publish import is_published
from miner_resources.records import Stage
from miner_resources.storage import Storage
from miner_resources.vocabulary import ExportFormat

CARD: Final = "README.md"


def current_dataset(workspace: Workspace) -> Snapshot:
    """The dataset as the last run left it.

    Raises:
        InvalidData: there is none.
    """
    return read_snapshot(workspace.storage.annotations, workspace.storage.deduplicated_frames)


def encoding_of(config: MinerConfig) -> Encoding:
    """How the project writes its pictures."""
    return Encoding(config.extraction.image_format, config.extraction.quality, config.extraction.max_side)


def write_exports(workspace: Workspace, formats: Sequence[ExportFormat]) -> None:
    """Write what is not there yet, and delete what is out of date; a dataset without pictures has no exports."""
    wanted = _exported(formats)
    snapshot = current_dataset(workspace) if wanted else None
    empty = snapshot is None or not snapshot.coco["images"]
    for path in workspace.storage.export_folder.glob("*"):
        if empty or path.name not in wanted:
            workspace.storage.discard(path)
    if snapshot is None or empty:
        return
    advance: Callable[[int], None] = partial(workspace.listener.frames_done, Stage.DATASET)
    for name in wanted:
        export(snapshot, name, str(workspace.storage.export(name)), _options(workspace, name), advance)


def exports_are_current(workspace: Workspace, formats: Sequence[ExportFormat]) -> bool:
    """Whether `write_exports` would write nothing; `annotations.json` must be there."""
    wanted = _exported(formats)
    if not wanted:
        return True
    key = snapshot_key(workspace.storage.annotations)
    keys = {name: export_key(key, name, _options(workspace, name)) for name in wanted}
    published = [is_published(str(workspace.storage.export(name)), name, key) for name, key in keys.items()]
    return all(published) or not current_dataset(workspace).coco["images"]


def _exported(formats: Sequence[ExportFormat]) -> list[ExportFormat]:
    return [name for name in dict.fromkeys(formats) if name != "coco"]


def card_of(storage: Storage, name: ExportFormat) -> str | None:
    """The card of the dataset as the last run left it, for the format that takes one."""
    try:
        return (storage.dataset / CARD).read_text(encoding="utf-8") if name == "hf" else None
    except FileNotFoundError:
        return None


def _options(workspace: Workspace, name: ExportFormat) -> ExportOptions:
    return ExportOptions(encoding=encoding_of(workspace.config), card=card_of(workspace.storage, name))
