"""Registries as files that people exchange: what `registry import` reads and `registry export` writes.

A text file holds one URL or path a line (`#` starts a comment). A YAML or JSON file holds
`videos: {id: {url, title, channel, duration_seconds, source_keyword, status, added, stages}}`.

Artifacts do not travel with such a file, so an imported video starts again: it is pending, whatever it was, and
`notes` keeps what it was. Two statuses are decisions or findings rather than artifacts, and stay: `skipped`, and
`failed` together with the records of the stages that failed. Stages that succeeded are not taken over.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from miner_resources.errors import InvalidData, NotFound
from miner_resources.records import Stage, StageRecord, Status, Video
from miner_resources.registry.ledger import FAILED
from miner_resources.registry.record_json import Fields, is_mapping
from miner_resources.storage import check_video_id, stable_hash
from miner_resources.web.addresses import has_password
from miner_resources.yaml_text import parse_yaml

_STAGES: Final = {
    **{stage.value: stage for stage in Stage},
    "extraction": Stage.EXTRACT,
    "filtering": Stage.FILTER,
    "deduplication": Stage.EMBED,
    "detection": Stage.DETECT,
}
_FAILED_WORDS: Final = frozenset({"failed", "error"})
_COMMENT = re.compile(r"(^|\s)#.*")
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
_REMEDY: Final = "correct the lines or keys above; nothing was imported"


@dataclass(frozen=True, kw_only=True)
class RegistryImport:
    """What a file asks to add.

    Attributes:
        videos: videos with known ids, for `Catalog.add_videos`.
        records: failures of those videos, to be published after the videos were added.
        urls: URLs and paths whose ids are still to be found out, in the order of the file.
    """

    videos: list[Video] = field(default_factory=list[Video])
    records: list[StageRecord] = field(default_factory=list[StageRecord])
    urls: list[str] = field(default_factory=list[str])


def read_import(path: Path) -> RegistryImport:
    """Read a list of URLs, or a registry if the name ends in `.yaml`, `.yml` or `.json`.

    Raises:
        NotFound: there is no such file.
        InvalidData: it cannot be parsed, or has wrong lines or keys; all of them are named.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise NotFound(f"{path} does not exist", remedy="give the path of a text, YAML or JSON file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidData(f"{path} cannot be read: {error}", remedy="save it as UTF-8 text") from error
    if path.suffix.lower() in {".yaml", ".yml", ".json"}:
        return _read_registry(_parse(path, text), path)
    return _read_urls(text, path)


def write_export(videos: Iterable[Video]) -> str:
    """The URLs of videos, one a line, as `read_import` reads them."""
    return "".join(f"{url}\n" for url in dict.fromkeys(video.url for video in videos))


def _read_urls(text: str, path: Path) -> RegistryImport:
    urls: dict[str, None] = {}
    problems: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        url = _COMMENT.sub("", line).strip()
        if "://" in url and len(url.split()) > 1:
            problems.append(f"{path}, line {number}: {url!r} is more than one URL, or one with a space in it")
        elif not url.isprintable() or url.startswith("-"):
            problems.append(f"{path}, line {number}: {url!r} is neither a URL nor a path")
        elif url:
            urls[url] = None
    _check(problems)
    return RegistryImport(urls=list(urls))


def _parse(path: Path, text: str) -> object:
    try:
        return json.loads(text) if path.suffix.lower() == ".json" else parse_yaml(text)
    except (ValueError, RecursionError) as error:
        raise InvalidData(f"{path} cannot be parsed: {error}", remedy="correct the syntax") from error


def _read_registry(document: object, path: Path) -> RegistryImport:
    entries = document.get("videos") if is_mapping(document) else None
    if not isinstance(entries, dict):
        raise InvalidData(f"{path} has no object `videos`", remedy="see `video-miner registry import --help`")
    result = RegistryImport()
    problems: list[str] = []
    for key, entry in entries.items():
        where = f"{path}, videos.{key}"
        if not isinstance(key, str):
            problems.append(f"{where}: the id must be text, YAML reads it as a {type(key).__name__}: put it in quotes")
        elif not is_mapping(entry):
            problems.append(f"{where}: must be an object with at least `url`")
        else:
            problems += _read_entry(key, Fields(entry, where=where), where, result)
    _check(problems)
    return result


def _read_entry(key: str, fields: Fields, where: str, result: RegistryImport) -> list[str]:
    """Add one video to `result`; returns what is wrong with it."""
    video_id = _safe_id(key)
    status = fields.choice("status", Status) or Status.PENDING
    added_at = fields.time("added", "added_at") or datetime.now(UTC)
    failures, problems = _read_stages(video_id, fields, where, added_at)
    if status is Status.FAILED:
        reason = fields.text("error") or "imported as failed, without a reason"
        result.records.extend(failures or [_failure(video_id, Stage.DOWNLOAD, reason, added_at)])
    url = fields.required(fields.text("url"), "url")
    if url and has_password(url):
        problems = [*problems, f"{where}: url holds a user or password, which would become part of the dataset"]
    notes = [fields.text("notes"), f"imported as {key!r}" if video_id != key else None]
    if status not in {Status.PENDING, Status.SKIPPED, Status.FAILED}:
        notes.append(f"imported as {status.value}; its artifacts are made again here")
        status = Status.PENDING
    result.videos.append(
        Video(
            video_id=video_id,
            url=url,
            added_at=added_at,
            title=fields.text("title"),
            channel=fields.text("channel"),
            duration_s=fields.number("duration_seconds", "duration_s", "duration"),
            license=fields.text("license"),
            source_keyword=fields.text("source_keyword", "keyword"),
            status=status,
            notes="; ".join(note for note in notes if note) or None,
        )
    )
    return fields.problems + problems


def _read_stages(video_id: str, fields: Fields, where: str, added_at: datetime) -> tuple[list[StageRecord], list[str]]:
    """Records of the stages that failed, and what is wrong with any stage."""
    failures: list[StageRecord] = []
    problems: list[str] = []
    for name, value in fields.mapping("stages").items():
        stage = _STAGES.get(name.lower())
        if stage is None:
            problems.append(f"{where}: stages.{name} is unknown, allowed is {', '.join(Stage)}")
            continue
        if not is_mapping(value):
            continue  # `download: done` or `download: true`: a success, which is not taken over
        entry = Fields(value, where=f"{where}.stages.{name}")
        finished_at = entry.time("finished_at", "finished", "completed_at", "timestamp") or added_at
        if (entry.text("status") or "").lower() in _FAILED_WORDS:
            reason = entry.text("error", "message") or "imported as failed, without a reason"
            failures.append(_failure(video_id, stage, reason, finished_at))
        problems += entry.problems
    return failures, problems


def _failure(video_id: str, stage: Stage, reason: str, at: datetime) -> StageRecord:
    return StageRecord(video_id=video_id, stage=stage, status=FAILED, started_at=at, finished_at=at, error=reason)


def _safe_id(key: str) -> str:
    """`key` if it is safe as a file name, otherwise an id made from it that no other key shares."""
    try:
        return check_video_id(key)
    except InvalidData:
        readable = _UNSAFE.sub("-", key)[:100].strip("-") or "video"
        return f"{readable}-{stable_hash(key)[:8]}"


def _check(problems: list[str]) -> None:
    if problems:
        listing = "".join(f"\n  - {problem}" for problem in problems)
        raise InvalidData(f"{len(problems)} wrong in the import:{listing}\n", remedy=_REMEDY)
