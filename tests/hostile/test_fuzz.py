"""Whatever is written into the files and lists that people exchange: a typed error or a sound result, nothing else.

More examples: `VIDEO_MINER_FUZZ=2000 pytest tests/hostile/test_fuzz.py`.
"""

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from miner_assets.logic.exports.manifest import read_manifest
from miner_resources import events
from miner_resources.catalog import Catalog
from miner_resources.config import MinerConfig
from miner_resources.config_files import load_config, to_yaml
from miner_resources.config_sections import SearchConfig
from miner_resources.errors import MinerError
from miner_resources.records import Video
from miner_resources.registry.files import read_import
from miner_resources.storage import Storage, check_video_id
from miner_resources.video_facts import VideoFacts, read_facts, write_facts
from miner_resources.video_source import LeftOut, Lost, find_videos
from miner_resources.web.listing import Hit, list_url, search, video_id_of
from miner_resources.yaml_text import parse_yaml

T = TypeVar("T")
NOW = datetime(2026, 1, 2, tzinfo=UTC)
fuzz = settings(
    max_examples=int(os.environ.get("VIDEO_MINER_FUZZ", "60")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)

NASTY = st.sampled_from([
    *["", " ", "\0", "..", "../../x", "/etc/passwd", "C:\\x", "-rf", "~nobody/x", "http://[::1", "file:///etc/passwd"],
    *["<script>", "'; DROP TABLE videos; --", "{{7*7}}", "${oc.env:HOME}", "${", "\ud800", "\u202e", "=1+1", "a" * 300],
    *["2001-99-99", "1e999", "nan", "\x1b[2J", "null", "!!bool x", "*a", "&a [*a]", "%", "\n", "ytsearch5:x", "x:y"],
])  # fmt: skip
TEXT = NASTY | st.text(max_size=12)
NUMBER = st.booleans() | st.integers() | st.floats()
SCALAR = st.none() | NUMBER | TEXT | st.dates(max_value=date(9999, 12, 30)) | st.binary(max_size=4)
VALUE = st.recursive(
    SCALAR,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT | st.integers(), inner, max_size=3),
    max_leaves=8,
)
JSON = st.recursive(
    st.none() | NUMBER | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


def refusal(call: Callable[[], T]) -> tuple[T | None, str]:
    """What a call gives, or the message of its typed error."""
    try:
        return call(), ""
    except MinerError as error:
        return None, str(error)


@contextmanager
def folder() -> Iterator[Path]:
    """A folder `output` in one where nothing else may appear."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "output").mkdir()
        yield root / "output"
        assert [path.name for path in root.iterdir()] == ["output"], "something was written outside"


def some_keys(known: list[str]) -> st.SearchStrategy[dict[str, object]]:
    return st.dictionaries(st.sampled_from(known) | TEXT, VALUE, max_size=4)


SECTIONS = {
    name: list(getattr(field.annotation, "model_fields", {})) for name, field in MinerConfig.model_fields.items()
}
CONFIG = st.fixed_dictionaries(
    {}, optional={name: some_keys(keys) | VALUE if keys else VALUE for name, keys in SECTIONS.items()}
)


@fuzz
@given(CONFIG | VALUE)
@example({"classes": {"../x": None}, "dataset": {"splits": {"../../x": 1.0}}})
def test_a_config_is_valid_or_says_why_not(values: object) -> None:
    with folder() as output:
        file = output / "config.yaml"
        file.write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8", errors="replace")
        _load(file, output)


@fuzz
@given(st.text(max_size=80) | st.binary(max_size=80).map(lambda data: data.decode("latin1")))
@example("a: 2001-99-99")
@example("a: !!bool x")
@example("a: !!int ''")
@example("a: !!timestamp x")
@example("a: &a [*a]")
@example("a: " + "[" * 5000)
@example("{" * 5000)
@example("? [1]\n: 2")
@example("<<: 1")
@example("a: !!python/object/apply:os.system [id]")
@example("urls: ['${oc.create:1}', '${a}', '${urls}']")
@example("a: " + "1" * 5000)
@example("1: 2\n2001-01-01: 3\nnull: 4\n1.5: 2\ntrue: 1")
@example("urls: !!set {a, b}\nclasses: !!omap [a: b]\nx: !!binary aGk=\n")
def test_any_text_as_config_is_valid_or_says_why_not(text: str) -> None:
    with folder() as output:
        file = output / "config.yaml"
        file.write_text(text, encoding="utf-8", errors="replace")
        _load(file, output)


@fuzz
@given(st.lists(TEXT | st.tuples(st.sampled_from(list(SECTIONS)), TEXT).map("=".join), max_size=3))
@example(["urls=[" * 200])
@example(["a" + ".b" * 3000 + "=1"])
@example(["classes=&a [*a]"])
@example(["dataset.contact=2001-99-99"])
def test_any_override_is_valid_or_says_why_not(overrides: list[str]) -> None:
    config, why = refusal(lambda: load_config([], overrides))
    assert config or why


def _load(file: Path, output: Path) -> None:
    config, why = refusal(lambda: load_config([file]))
    assert len(why) < 100_000
    if config is None:
        assert "config" in why
        return
    again = output / "again.yaml"
    again.write_text(to_yaml(config), encoding="utf-8")
    assert load_config([again]) == config


def bomb() -> str:
    levels = "\n".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 12))
    return f"l0: &l0 [x]\n{levels}\n"


@pytest.mark.parametrize("text", [bomb(), "a: &a\n  b: *a", "[" * 200 + "]" * 200, bomb() + "videos: {a: {url: *l11}}"])
def test_yaml_cannot_explode(text: str) -> None:
    with pytest.raises(ValueError, match=r"stands for more than|refers to itself|levels deep"):
        parse_yaml(text)
    for suffix in (".yaml", ".json"):
        with folder() as output:
            file = output / f"videos{suffix}"
            file.write_text(text)
            assert file.name in refusal(lambda file=file: read_import(file))[1]


def test_ordinary_anchors_are_kept() -> None:
    assert parse_yaml("a: &a {x: 1}\nb: *a\nc: {<<: *a, y: 2}") == {"a": {"x": 1}, "b": {"x": 1}, "c": {"x": 1, "y": 2}}


@fuzz
@given(st.lists(TEXT | st.from_regex(r"https?://[\w.\[\]:%@-]{0,20}/?.{0,10}", fullmatch=True), max_size=4))
def test_any_list_of_urls_gives_videos_or_reasons(sources: list[str]) -> None:
    def listed(url: str) -> list[Hit]:
        return [Hit(1, Video(video_id=video_id_of("Generic", url), url=url, added_at=NOW))]

    with folder() as output:
        lines = "\n".join(sources)
        (output / "urls.txt").write_text(lines, encoding="utf-8", errors="replace")
        read, why = refusal(lambda: read_import(output / "urls.txt"))
        assert read or "urls.txt" in why
        sources = [*sources, *(read.urls if read else [])]
        safe = [source for source in sources if source.strip("./~ \n")]  # not whole disks
        for found in find_videos(safe, registered=[], list_url=listed, now=NOW):
            if not isinstance(found, Lost | LeftOut):
                check_video_id(found.video_id)


@fuzz
@given(TEXT, TEXT)
def test_every_video_gets_an_id_that_is_a_plain_name(extractor: str, native: str) -> None:
    video_id = video_id_of(extractor, native)
    path = Storage(Path("/output")).raw_frames(video_id)
    assert path.resolve().parent == Path("/output/frames_raw")


@fuzz
@given(st.text(max_size=140) | NASTY)
def test_no_path_leaves_the_output_folder(name: str) -> None:
    storage = Storage(Path("/output"))
    makers = [storage.raw_frames, storage.info, storage.partial, storage.detections_table, storage.version]
    for make in makers:
        path, _ = refusal(lambda make=make: make(name))
        if path is not None:
            assert path.resolve().is_relative_to("/output/")
            assert path.resolve() != Path("/output")


VIDEO_KEYS = [
    "url",
    "title",
    "channel",
    "duration_seconds",
    "license",
    "source_keyword",
    "status",
    "added",
    "stages",
    "notes",
]
ENTRY = some_keys(VIDEO_KEYS) | VALUE
REGISTRY = st.fixed_dictionaries({"videos": st.dictionaries(TEXT | st.integers(), ENTRY, max_size=3) | VALUE})


@fuzz
@given(REGISTRY | VALUE, st.sampled_from([".yaml", ".json"]))
@example({"videos": {"a": {"url": "x", "stages": {"filtering": {"status": "failed", "error": "\ud800"}}}}}, ".json")
@example({"videos": {"a": {"url": "x", "duration": 10**400}}}, ".json")
@example({"videos": {"a": {"url": "x", "added": "0001-01-01T00:00:00+14:00"}}}, ".json")
def test_an_imported_registry_is_taken_or_says_why_not(document: object, suffix: str) -> None:
    with folder() as output:
        file = output / f"videos{suffix}"
        written = json.dumps(document, default=str) if suffix == ".json" else yaml.safe_dump(document)
        file.write_text(written, encoding="utf-8", errors="replace")
        found, why = refusal(lambda: read_import(file))
        assert found or "videos" in why
        for video in found.videos if found else []:
            check_video_id(video.video_id)


def test_what_an_imported_registry_says_survives_the_catalog(tmp_path: Path) -> None:
    """One catalog for many rows: opening it costs more than the rows."""
    rows = [
        {"url": f"https://example.com/{number}", "title": text, "channel": text, "notes": text, "source_keyword": text}
        for number, text in enumerate(
            ["'; DROP TABLE videos; --", "\ud800", "\0", "\x1b[2J", '"', "%s", "\u202e", "a" * 9999]
        )
    ]
    file = tmp_path / "videos.json"
    file.write_text(json.dumps({"videos": {f"v{number}": row for number, row in enumerate(rows)}}))
    catalog = Catalog(Storage(tmp_path / "output"))
    assert len(catalog.add_videos(read_import(file).videos)) == len(rows)
    assert [video.url for video in catalog.videos()] == [row["url"] for row in rows]
    assert [video.video_id for video in catalog.videos(keyword="'; DROP TABLE videos; --")] == ["v0"]
    assert catalog.videos(keyword="' OR 1=1 --") == []
    catalog.add_keywords(["'; DROP TABLE keywords; --", "x' OR '1'='1"])
    assert len(catalog.keywords()) == 2


FACTS = VideoFacts(
    video=Video(video_id="a", url="https://example.com", added_at=NOW), sha256="0", size_bytes=1, width=4, height=4,
    fps=None, frames=1, codec="h264",
)  # fmt: skip
INFO_KEYS = [
    "video_id",
    "url",
    "title",
    "added_at",
    "sha256",
    "size_bytes",
    "width",
    "height",
    "fps",
    "frames",
    "codec",
]
INFO_KEYS += ["metrics", "source", "duration_s", "channel", "license", "trainable", "source_size", "source_mtime_ns"]


@fuzz
@given(
    st.dictionaries(st.sampled_from(INFO_KEYS) | TEXT, JSON, max_size=3),
    st.sets(st.sampled_from(INFO_KEYS), max_size=2),
)
@example({"video_id": "../../x"}, set())
@example({"width": "<script>"}, set())
@example({"metrics": 5}, set())
@example({"title": {"a": 1}}, set())
def test_the_facts_beside_a_video_are_sound_or_refused(changes: dict[str, object], missing: set[str]) -> None:
    with folder() as output:
        storage = Storage(output)
        storage.new_video("a", "mp4").parent.mkdir()
        storage.new_video("a", "mp4").write_bytes(b"x")
        write_facts(storage, FACTS)
        record = json.loads(storage.info("a").read_text())
        record = {key: value for key, value in (record | changes).items() if key not in missing}
        storage.info("a").write_text(json.dumps(record), encoding="utf-8", errors="replace")
        facts, why = refusal(lambda: read_facts(storage, "a"))
        if facts is None:
            assert "a.info.json" in why
            return
        assert facts.video.video_id == "a"
        assert all(isinstance(size, int) for size in (facts.width, facts.height, facts.frames, facts.size_bytes))
        write_facts(storage, facts)
        assert read_facts(storage, "a") == facts


@pytest.mark.parametrize("text", ["", "[]", "5", '"a"', "[" * 100_000, "{", "\0", '{"a": ' * 3000, "1" * 5000])
def test_facts_that_are_no_facts_are_refused(text: str, tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    storage.new_video("a", "mp4").parent.mkdir()
    storage.new_video("a", "mp4").write_bytes(b"x")
    storage.info("a").write_text(text)
    with pytest.raises(MinerError, match="info"):
        read_facts(storage, "a")


@fuzz
@given(
    st.fixed_dictionaries(
        {"kind": st.sampled_from(["video", "extract", "decision", "removed"]) | TEXT, "time_ns": st.integers() | JSON},
        optional={"content": st.dictionaries(st.sampled_from(["video_id", "url", "added_at", "status"]), JSON)},
    )
    | JSON
)
@example({"kind": "removed", "time_ns": 1, "content": {"video_id": "../x", "removed_at": "2025-01-01"}})
@example({"kind": "removed", "time_ns": 10**30, "content": {"video_id": "x", "removed_at": "2025-01-01"}})
@example({"kind": "decision", "time_ns": -1, "content": {"video_id": "x", "status": "failed", "decided_at": 1}})
def test_any_event_file_is_settled_or_set_aside(source: object) -> None:
    with folder() as output:
        storage = Storage(output)
        (storage.events / "new").mkdir(parents=True)
        (storage.events / "new" / "00000000000000000001~x~y~z.json").write_text(
            json.dumps(source), encoding="utf-8", errors="replace"
        )
        found = events.pending(storage)
        for spooled in found:
            check_video_id(spooled.event.video_id)
        events.settle(storage, found)
        assert not events.has_pending(storage)
        assert len(list(storage.events.rglob("*.json"))) == 1


ENTRY_KEYS = [
    "id",
    "ie_key",
    "url",
    "webpage_url",
    "title",
    "channel",
    "uploader",
    "duration",
    "license",
    "upload_date",
]
ENTRY_KEYS += ["availability", "live_status", "_type", "entries"]
RESULT = st.dictionaries(st.sampled_from(ENTRY_KEYS), JSON, max_size=6)


class Answering:
    """Stands for the site: yt-dlp hands over whatever it said."""

    def __init__(self, answer: object) -> None:
        self.answer = answer
        self.download = MinerConfig().download

    def extract(self, url: str, options: object) -> object:
        return self.answer


@fuzz
@given(st.fixed_dictionaries({"_type": st.just("playlist"), "entries": st.lists(RESULT | JSON, max_size=3)}) | RESULT)
@example({"_type": "playlist", "entries": [{"id": "x", "url": "http://[::1", "duration": "long"}]})
@example({"_type": "playlist", "entries": [{"id": "x", "url": "https://e.com", "duration": 10**400}]})
@example({"_type": "playlist", "entries": [{"id": "x", "url": "https://e.com", "title": 5, "channel": {"a": 1}}]})
def test_whatever_a_site_lists_becomes_sound_rows(answer: object) -> None:
    filters = SearchConfig(min_duration_s=1, max_duration_s=100)
    client: Any = Answering(answer)
    hits: list[Hit] = []
    for find in (list_url, search):
        found, why = refusal(lambda find=find: list(find(client, "https://e.com/list", filters, NOW)))
        assert found is not None or why
        hits += found or []
    with folder() as output:
        storage = Storage(output)
        for hit in hits:
            taken = replace(hit.video, added_at=NOW)
            spooled = events.publish(storage, taken)
            assert events.pending(storage)[0].event.video_id == taken.video_id
            spooled.path.unlink()


@fuzz
@given(st.binary(max_size=200))
@example(b"PAR1" + b"\0" * 50 + b"PAR1")
def test_any_file_as_manifest_is_refused(data: bytes) -> None:
    with folder() as output:
        (output / "manifest.parquet").write_bytes(data)
        with pytest.raises(MinerError, match="manifest"):
            read_manifest(output)
