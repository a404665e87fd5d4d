"""Atomic publishing, keys and links."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import polars as pl
import pytest

from miner_resources.errors import InvalidData
from miner_resources.storage import ArtifactKeys, Storage, check_video_id, link, stable_hash
from miner_resources.tables import SCHEMA, read_keys, read_table, write_table

KEYS = ArtifactKeys("compute", "decision")


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    target = storage.embeddings_table("v")
    with suppress(RuntimeError), storage.publish_file(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert not target.exists()
    with storage.publish_file(target) as temporary:
        temporary.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"
    assert list((tmp_path / ".tmp").iterdir()) == []


def test_a_folder_replaces_an_older_one(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    target = storage.raw_frames("v")
    for name in ("old", "new"):
        with storage.publish_folder(target) as folder:
            (folder / name).write_text(name)
    assert [path.name for path in target.iterdir()] == ["new"]
    with suppress(RuntimeError), storage.publish_folder(target):
        raise RuntimeError
    assert [path.name for path in target.iterdir()] == ["new"]
    assert list((tmp_path / ".tmp").iterdir()) == []


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_has_stays(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from miner_resources.storage import Storage\n"
        "s = Storage(Path(sys.argv[1]))\n"
        "with s.publish_folder(s.raw_frames('v')) as folder:\n"
        "    (folder / 'a').write_text('a'); os.kill(os.getpid(), 9)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert killed.returncode == -9
    storage = Storage(tmp_path)
    with storage.scratch("mine") as mine:
        assert len(list((tmp_path / ".tmp").iterdir())) == 2
        storage.clean_temporary()
        assert list((tmp_path / ".tmp").iterdir()) == [mine]
    assert not storage.raw_frames("v").exists()


def test_tables_carry_their_keys(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_table(path, pl.DataFrame({"a": [1]}), KEYS, metadata={"more": "text"})
    assert read_keys(path) == KEYS
    assert read_keys(tmp_path / "none.parquet") is None
    assert read_table(path, pl.Schema({"a": pl.Int64}))["a"].to_list() == [1]
    with pytest.raises(InvalidData, match="lacks the columns b"):
        read_table(path, pl.Schema({"b": pl.Int64}))
    for version, keys in (("0", None), ("1", KEYS)):
        write_table(path, pl.DataFrame({"a": [1]}), KEYS, metadata={SCHEMA: version})
        assert read_keys(path) == keys
    for version in ("2", "x"):
        write_table(path, pl.DataFrame({"a": [1]}), KEYS, metadata={SCHEMA: version})
        with pytest.raises(InvalidData, match="knows up to 1") as caught:
            read_keys(path)
        assert "update Video Miner" in caught.value.remedy
    path.write_bytes(b"PAR1 nonsense")
    assert read_keys(path) is None
    with pytest.raises(InvalidData, match="cannot read"):
        read_table(path)


def test_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_table(tmp_path / name, pl.DataFrame({"x": [0.1, None], "y": [[1], []]}), KEYS)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_version_changes_with_either_key() -> None:
    versions = {ArtifactKeys(*pair).version for pair in (("a", "b"), ("a", "c"), ("c", "b"), ("ab", ""))}
    assert len(versions) == 4
    assert stable_hash({"b": 1, "a": 2}) == stable_hash({"a": 2, "b": 1})


@pytest.mark.parametrize("video_id", ["", "a/b", "..", "a b", "ü", "x" * 129, "a\n"])
def test_unsafe_ids_are_refused(video_id: str) -> None:
    with pytest.raises(InvalidData):
        check_video_id(video_id)


def test_link_shares_the_bytes(tmp_path: Path) -> None:
    source = tmp_path / "s"
    source.write_text("x")
    link(source, tmp_path / "t")
    assert source.stat().st_ino == (tmp_path / "t").stat().st_ino
