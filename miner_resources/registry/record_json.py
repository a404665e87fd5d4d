"""JSON forms of the records: what event files, `*.info.json` and imported registries are read with.

Reading is strict about types, tolerant about unknown keys, and reports everything wrong with one object at once.
To add a field to a record: add it in `records.py` and read it here; writing follows the dataclass.
"""

import json
import math
import reprlib
from collections.abc import Mapping
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import TypeGuard, TypeVar, cast

from miner_resources.errors import InvalidData
from miner_resources.records import Json, Stage, StageRecord, Status, Video
from miner_resources.storage import check_video_id
from miner_resources.tables import METRICS

Choice = TypeVar("Choice", bound=StrEnum)
Value = TypeVar("Value")


class Fields:
    """Typed reading of one JSON (or YAML) object; what is wrong is collected in `problems`.

    Args:
        source: the object.
        where: what a problem is prefixed with: the file, or the file and the key of the object.
    """

    def __init__(self, source: Mapping[str, object], *, where: str) -> None:
        self._source = source
        self._where = where
        self.problems: list[str] = []

    def text(self, *names: str) -> str | None:
        """The first of `names` that is set; numbers count as text because YAML reads `title: 2001` as a number."""
        name, value = self._first(names)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return str(value)
        return value if isinstance(value, str) else self._reject(name, value, "text in quotes")

    def number(self, *names: str) -> float | None:
        """A finite number."""
        name, value = self._first(names)
        try:
            if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
                return float(value)
        except OverflowError:  # a whole number with hundreds of digits
            pass
        return self._reject(name, value, "a number")

    def integer(self, *names: str) -> int | None:
        """A whole number."""
        name, value = self._first(names)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        return self._reject(name, value, "a whole number")

    def flag(self, *names: str) -> bool | None:
        """True or false."""
        name, value = self._first(names)
        return value if isinstance(value, bool) else self._reject(name, value, "true or false")

    def time(self, *names: str) -> datetime | None:
        """A moment in any ISO 8601 form, in UTC; without a zone it is taken as UTC."""
        name, value = self._first(names)
        moment = to_utc(value)
        return moment if moment is not None else self._reject(name, value, "a date such as 2025-01-31T12:00:00Z")

    def mapping(self, *names: str) -> dict[str, object]:
        """An object with text keys; empty if it is not there."""
        name, value = self._first(names)
        if is_mapping(value):
            return value
        self._reject(name, value, "an object with text keys")
        return {}

    def choice(self, name: str, kind: type[Choice]) -> Choice | None:
        """One value of an enumeration."""
        value = self._source.get(name)
        if isinstance(value, str) and value.strip().lower() in {member.value for member in kind}:
            return kind(value.strip().lower())
        return self._reject(name, value, "one of " + ", ".join(kind))

    def check(self) -> None:
        """Raise `InvalidData` with all problems, if there are any."""
        if self.problems:
            raise InvalidData("; ".join(self.problems), remedy="correct or delete it, then try again")

    def required(self, value: Value | None, name: str) -> Value:
        """`value`, or a placeholder and a noted problem if it is None; `check` must follow."""
        if value is None:
            self.problems.append(f"{self._where}: {name} is missing")
        return cast("Value", value)

    def _first(self, names: tuple[str, ...]) -> tuple[str, object]:
        present = (name for name in names if self._source.get(name) is not None)
        name = next(present, names[0])
        return name, self._source.get(name)

    def _reject(self, name: str, value: object, wanted: str) -> None:
        if value is not None:
            self.problems.append(f"{self._where}: {name} is {reprlib.repr(value)}, allowed is {wanted}")


def video_from_json(source: Mapping[str, object], *, where: str) -> Video:
    """A video as `to_json` wrote it; only `video_id`, `url` and `added_at` are required.

    Raises:
        InvalidData: a required field is missing, or a field has another type than it should.
    """
    fields = Fields(source, where=where)
    video = Video(
        video_id=fields.required(fields.text("video_id"), "video_id"),
        url=fields.required(fields.text("url"), "url"),
        added_at=fields.required(fields.time("added_at"), "added_at"),
        title=fields.text("title"),
        channel=fields.text("channel"),
        duration_s=fields.number("duration_s"),
        license=fields.text("license"),
        trainable=fields.text("trainable"),
        source_keyword=fields.text("source_keyword"),
        status=fields.choice("status", Status) or Status.PENDING,
        updated_at=fields.time("updated_at"),
        notes=fields.text("notes"),
        source_size=fields.integer("source_size"),
        source_mtime_ns=fields.integer("source_mtime_ns"),
    )
    fields.check()
    check_video_id(video.video_id)
    return video


def stage_record_from_json(source: Mapping[str, object], *, where: str) -> StageRecord:
    """A stage record as `to_json` wrote it.

    Raises:
        InvalidData: a required field is missing, or a field has another type than it should.
    """
    fields = Fields(source, where=where)
    record = StageRecord(
        video_id=fields.required(fields.text("video_id"), "video_id"),
        stage=fields.required(fields.choice("stage", Stage), "stage"),
        status=fields.required(fields.text("status"), "status"),
        started_at=fields.required(fields.time("started_at"), "started_at"),
        finished_at=fields.required(fields.time("finished_at"), "finished_at"),
        compute_key=fields.text("compute_key"),
        decision_key=fields.text("decision_key"),
        metrics=cast("dict[str, Json]", fields.mapping("metrics")),
        error=fields.text("error"),
        remedy=fields.text("remedy"),
        retryable=fields.flag("retryable") or False,
    )
    fields.check()
    check_video_id(record.video_id)
    return record


def to_json(record: object) -> dict[str, Json]:
    """The fields of a record (a dataclass of plain values) as JSON; times become ISO 8601 in UTC."""
    return {
        name: value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value
        for name, value in vars(record).items()
    }


def write_json(value: Json) -> bytes:
    """Compact UTF-8 JSON; half characters, which some titles hold, become question marks.

    Raises:
        InvalidData: a number is not finite, which JSON cannot say.
    """
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode(errors="replace")
    except ValueError as error:
        raise InvalidData(
            f"a metric is not a finite number: {error}", remedy="report this bug with the stage"
        ) from error


def metrics_of(metadata: Mapping[str, str], path: Path) -> dict[str, Json]:
    """What a stage counted when it wrote the table `path`, from its metadata; empty where it keeps nothing.

    Raises:
        InvalidData: it is no JSON object.
    """
    return cast("dict[str, Json]", read_json(metadata.get(METRICS, "{}").encode(), where=f"{METRICS} of {path}"))


def read_json(data: bytes, *, where: str) -> dict[str, object]:
    """One JSON object; numbers that are not finite are read as null.

    Raises:
        InvalidData: the bytes are no JSON object.
    """
    try:
        value: object = json.loads(data, parse_constant=lambda _: None)
    except (ValueError, RecursionError) as error:
        raise InvalidData(f"{where} is no JSON: {error}", remedy="delete it and try again") from error
    if not is_mapping(value):
        raise InvalidData(f"{where} is no JSON object", remedy="delete it and try again")
    return value


def is_mapping(value: object) -> TypeGuard[dict[str, object]]:
    """Whether a parsed value is an object whose keys are all text."""
    return isinstance(value, dict) and all(isinstance(key, str) for key in cast("dict[object, object]", value))


def to_utc(value: object) -> datetime | None:
    """The moment that an ISO text, a date or a datetime says; None if it says none. Without a zone: UTC."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    try:
        # YAML reads 20250131 as a whole number.
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value).removesuffix(" UTC"))
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
