"""Where the dataset was exported to: one line for each export, so that a takedown can say what it cannot reach."""

import json
from collections.abc import Collection
from datetime import datetime
from pathlib import Path

from miner_resources.published.places import shown_url
from miner_resources.storage import Storage


def record_export(storage: Storage, destination: str, *, format: str, version: str, at: datetime) -> None:
    """Note an export that is about to be written.

    Args:
        storage: the project.
        destination: a folder or URL; user, password and query are not written down.
        format: its name.
        version: the id of the version of the dataset.
        at: now, UTC.
    """
    place = shown_url(destination) if "://" in destination else str(Path(destination).absolute())
    entry = {"at": at.isoformat(timespec="seconds"), "destination": place, "format": format, "version": version}
    lines = [json.dumps(line) for line in _lines(storage) if line["destination"] != place]
    with storage.publish_file(storage.export_log) as target:
        target.write_text("".join(f"{line}\n" for line in [*lines, json.dumps(entry)]), encoding="utf-8")


def exported_elsewhere(storage: Storage, versions: Collection[str]) -> list[str]:
    """Where one of these versions was exported to last, outside of the dataset's own folder for exports."""
    own = str(storage.export_folder)
    return [
        line["destination"]
        for line in _lines(storage)
        if line["version"] in versions and not line["destination"].startswith(own)
    ]


def _lines(storage: Storage) -> list[dict[str, str]]:
    if not storage.export_log.exists():
        return []
    return [json.loads(line) for line in storage.export_log.read_text(encoding="utf-8").splitlines()]
