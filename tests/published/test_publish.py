"""A published folder is whole or not there, on this machine and behind fsspec, and goes on where it was stopped."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from miner_resources.errors import InvalidData, NotConfigured, Unavailable
from miner_resources.locks import file_lock
from miner_resources.published.index import INDEX, JOURNAL
from miner_resources.published.places import shown_url
from miner_resources.published.publish import Entry, Label, is_published, publish

LABEL = Label("test", "one", {"images": 2})


@pytest.fixture(params=["local", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place that does not exist yet."""
    if request.param == "local":
        return str(tmp_path / "exports" / "here")
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]
    return "memory://bucket/here"


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.jpg"
    path.write_bytes(b"picture" * 100)
    return path


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def entries(picture: Path, text: bytes = b"text", made: str = "made") -> Iterator[Entry]:
    def write(path: Path) -> Iterator[int]:
        path.write_text(made)
        yield 3

    yield Entry.of_bytes("notes.txt", text)
    yield Entry("pictures/a.jpg", picture, digest(picture), items=1)
    yield Entry("shards/0.tar", write, made, items=3)


def contents(url: str) -> dict[str, bytes]:
    files, root = fsspec.core.url_to_fs(url)
    found = files.find(root)
    return {name.removeprefix(root.rstrip("/") + "/"): files.cat_file(name) for name in found}


def ignore(_: int) -> None:
    pass


def test_a_folder_with_its_index(place, picture):
    seen: list[int] = []
    index = publish(place, entries(picture), LABEL, seen.append)
    found = contents(place)
    expected = {"notes.txt": b"text", "pictures/a.jpg": picture.read_bytes(), "shards/0.tar": b"made"}
    assert {name: data for name, data in found.items() if name != INDEX} == expected
    assert sum(seen) == 4
    listed = {one["path"]: (one["size"], one["sha256"]) for one in json.loads(found[INDEX])["files"]}
    assert listed == {name: (len(data), hashlib.sha256(data).hexdigest()) for name, data in expected.items()}
    assert [one.path for one in index.files] == sorted(expected)
    assert is_published(place, "test", "one")
    assert not is_published(place, "test", "two")


def test_what_is_there_is_not_made_again(place, picture):
    first = publish(place, entries(picture), LABEL, ignore)

    def none() -> Iterator[Entry]:
        raise AssertionError
        yield

    assert publish(place, none(), LABEL, ignore) == first


def test_a_missing_file_is_noticed(place, picture):
    publish(place, entries(picture), LABEL, ignore)
    files, root = fsspec.core.url_to_fs(place)
    files.rm_file(f"{root}/shards/0.tar")
    publish(place, entries(picture), LABEL, ignore)
    assert "shards/0.tar" in contents(place)


def test_an_earlier_publication_is_replaced_as_a_whole(place, picture):
    publish(place, [*entries(picture), Entry.of_bytes("old.txt", b"old")], LABEL, ignore)
    files, root = fsspec.core.url_to_fs(place)
    files.pipe_file(f"{root}/labels.cache", b"left by a reader")
    publish(place, entries(picture, text=b"new"), Label("test", "two"), ignore)
    found = contents(place)
    assert set(found) == {"notes.txt", "pictures/a.jpg", "shards/0.tar", INDEX}
    assert found["notes.txt"] == b"new"


@pytest.mark.parametrize("whole", [False, True], ids=["strange folder", "strange file in an export"])
def test_what_others_put_there_is_never_lost(place, picture, whole):
    if whole:
        publish(place, entries(picture), LABEL, ignore)
    files, root = fsspec.core.url_to_fs(place)
    files.makedirs(root, exist_ok=True)
    files.pipe_file(f"{root}/weights.pt", b"precious")
    before = contents(place)
    with pytest.raises(InvalidData, match=r"weights\.pt"):
        publish(place, entries(picture), Label("test", "two"), ignore)
    assert contents(place) == before


def test_stopped_in_the_middle_nobody_sees_it_and_the_next_call_goes_on(place, picture):
    made: list[str] = []

    def shard(name: str) -> Entry:
        def write(path: Path) -> Iterator[int]:
            made.append(name)
            path.write_text(name)
            yield 1

        return Entry(f"shards/{name}", write, name, items=1)

    def stopped() -> Iterator[Entry]:
        yield from entries(picture)
        yield shard("1")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        publish(place, stopped(), LABEL, ignore)
    assert not is_published(place, "test", "one")
    assert INDEX not in contents(place)
    assert made == ["1"]
    seen: list[int] = []
    publish(place, [*entries(picture), shard("1"), shard("2")], LABEL, seen.append)
    assert made == ["1", "2"]
    assert sum(seen) == 6
    assert set(contents(place)) == {"notes.txt", "pictures/a.jpg", "shards/0.tar", "shards/1", "shards/2", INDEX}


def test_killed_before_anything_is_noted_the_next_call_still_takes_it_as_its_own(place, picture, monkeypatch):
    def killed() -> Iterator[Entry]:
        yield from entries(picture)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("miner_resources.published.publish._Journal.flush", lambda _: None)
        with pytest.raises(KeyboardInterrupt):
            publish(place, killed(), LABEL, ignore)
    publish(place, entries(picture), LABEL, ignore)
    assert set(contents(place)) == {"notes.txt", "pictures/a.jpg", "shards/0.tar", INDEX}


def test_a_kill_costs_no_large_file(place, monkeypatch):
    monkeypatch.setattr("miner_resources.published.publish._NOTED_BYTES", 1000)
    made: list[str] = []

    def shard(name: str) -> Entry:
        def write(path: Path) -> Iterator[int]:
            made.append(name)
            path.write_bytes(bytes(2000))
            yield 1

        return Entry(name, write, name, items=1)

    def killed() -> Iterator[Entry]:
        yield shard("1")
        yield shard("2")
        monkeypatch.setattr("miner_resources.published.publish._Journal.flush", lambda _: None)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        publish(place, killed(), LABEL, ignore)
    publish(place, [shard("1"), shard("2"), shard("3")], LABEL, ignore)
    assert made == ["1", "2", "3"]


def test_nothing_but_the_unfinished_folder_stays_when_it_is_stopped(tmp_path, picture):
    def stopped() -> Iterator[Entry]:
        yield from entries(picture)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        publish(str(tmp_path / "here"), stopped(), LABEL, ignore)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".here.partial", "picture.jpg"]


def test_a_stopped_replacement_leaves_the_old_one_or_none(place, picture):
    publish(place, entries(picture), LABEL, ignore)

    def stopped() -> Iterator[Entry]:
        yield Entry.of_bytes("notes.txt", b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        publish(place, stopped(), Label("test", "two"), ignore)
    found = contents(place)
    assert INDEX not in found or found["notes.txt"] == b"text"
    publish(place, entries(picture, text=b"new"), Label("test", "two"), ignore)
    assert contents(place)["notes.txt"] == b"new"
    assert not [name for name in contents(place) if name.startswith(JOURNAL)]


def test_only_what_changed_is_sent(picture, monkeypatch):
    MemoryFileSystem.store.clear()
    publish("memory://bucket/there", entries(picture), LABEL, ignore)
    sent: list[str] = []
    pipe = MemoryFileSystem.pipe_file
    monkeypatch.setattr(
        MemoryFileSystem, "pipe_file", lambda self, path, data, **rest: (sent.append(path), pipe(self, path, data))
    )
    monkeypatch.setattr(MemoryFileSystem, "put_file", lambda *_, **__: pytest.fail("sent again"))
    publish("memory://bucket/there", entries(picture, text=b"new"), Label("test", "two"), ignore)
    assert [path for path in sent if JOURNAL not in path] == ["/bucket/there/notes.txt", f"/bucket/there/{INDEX}"]


def test_local_pictures_share_the_disk(tmp_path, picture):
    publish(str(tmp_path / "here"), entries(picture), LABEL, ignore)
    assert (tmp_path / "here/pictures/a.jpg").samefile(picture)
    publish(f"file://{tmp_path}/there", entries(picture), LABEL, ignore)
    assert (tmp_path / "there/pictures/a.jpg").samefile(picture)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "picture.jpg", "there"]


def test_another_picture_than_that_of_the_dataset_is_not_sent(picture):
    MemoryFileSystem.store.clear()
    wrong = [Entry("a.jpg", picture, "0" * 64)]
    with pytest.raises(InvalidData, match="is not the file"):
        publish("memory://bucket/wrong", wrong, LABEL, ignore)
    assert not is_published("memory://bucket/wrong", "test", "one")


def test_two_at_a_time_are_refused(tmp_path, picture):
    with file_lock(tmp_path / ".here.lock"), pytest.raises(Unavailable, match="another process"):
        publish(str(tmp_path / "here"), entries(picture), LABEL, ignore)


def test_places_that_cannot_be(tmp_path, picture):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(InvalidData, match="it is a file"):
        publish(str(tmp_path / "file"), entries(picture), LABEL, ignore)
    with pytest.raises(Unavailable, match="cannot be written"):
        publish(str(tmp_path / "file" / "below"), entries(picture), LABEL, ignore)
    with pytest.raises(NotConfigured, match="nonsense"):
        publish("nonsense://bucket/here", entries(picture), LABEL, ignore)


def test_a_place_that_fails_names_itself_without_secrets(picture, monkeypatch):
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the cloud is gone")

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", broken)
    with pytest.raises(Unavailable, match=r"memory://bucket/broken cannot be .*: the cloud is gone"):
        publish("memory://bucket/broken", entries(picture), LABEL, ignore)
    assert shown_url("s3://key:secret@host/bucket?token=secret") == "s3://host/bucket"
