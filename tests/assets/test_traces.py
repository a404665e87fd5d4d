import json
import sqlite3
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest

from miner_assets.dagster_history import forget_videos, is_local
from miner_assets.traces import Marks, find_traces
from miner_resources.storage import Storage

ID = "dQw4w9WgXcQ"
MARKS = Marks((ID,), (f"https://www.youtube.com/watch?v={ID}", "/films/Käse & Wein.mp4"), ("Käse & Wein",))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param(f"videos/{ID}.mp4", True, id="path"),
        pytest.param(f"{ID}__frame_000012.jpg", True, id="picture"),
        pytest.param(f"{ID}:12", True, id="frame"),
        pytest.param(f"x{ID}", False, id="another id that ends like it"),
        pytest.param(f"{ID}x", False, id="another id that begins like it"),
        pytest.param(f"{ID}_frame", False, id="an id with an underscore"),
        pytest.param("Käse & Wein", False, id="a title alone may be any text"),
        pytest.param(json.dumps({"a": json.dumps({"url": "/films/Käse & Wein.mp4"})}), True, id="JSON inside of JSON"),
        pytest.param("/films/Käse & Wein.mp4v", False, id="another path that begins like it"),
    ],
)
def test_found(text, found):
    assert MARKS.found_in(text) is found


def test_texts_are_cleaned_of_ids_urls_and_titles():
    text = json.dumps({"title": "Käse & Wein", "url": f"https://www.youtube.com/watch?v={ID}", "frame": f"{ID}:3"})
    cleaned = json.loads(MARKS.without(text))
    assert cleaned == {"title": "removed-video", "url": "removed-video", "frame": "removed-video:3"}
    assert MARKS.without("Käse & Wein") == "Käse & Wein"


def test_short_ids_are_found_only_where_they_are_the_whole_value():
    marks = Marks(("car",))
    assert marks.found_in("car")
    assert not marks.found_in('{"class": "car"}')
    assert not Marks(()).found_in("anything")


def test_every_kind_of_file_is_searched(tmp_path):
    storage = Storage(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / f"{ID}.jpg").write_bytes(b"")
    (tmp_path / "b.json").write_text(f'"{ID}"')
    pl.DataFrame({"names": [["x", f"{ID}:1"]]}).write_parquet(tmp_path / "c.parquet")
    pl.DataFrame({"n": [1]}).write_parquet(tmp_path / "d.parquet", metadata={"inputs": f'[["{ID}", "v"]]'})
    pl.DataFrame({"name": ["other"]}).write_parquet(tmp_path / "e.parquet")
    (tmp_path / "f.jpg").write_bytes(ID.encode())
    storage.removals.write_text(ID)
    assert find_traces(storage, MARKS) == [f"a/{ID}.jpg", "b.json", "c.parquet", "d.parquet"]
    assert find_traces(storage, MARKS, below=tmp_path / "a") == [f"a/{ID}.jpg"]


def test_a_history_forgets_rows_and_names_and_keeps_the_rest(tmp_path: Path):
    database = tmp_path / "history" / "runs.db"
    database.parent.mkdir()
    assert not is_local(tmp_path)
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute('CREATE TABLE events (n INTEGER, "partition" TEXT, "limit" TEXT, body BLOB)')
        rows = [(1, ID, "x", b"\x00"), (2, "other", f"range of {ID} and other", None), (3, None, "nothing", None)]
        connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?)", rows)
    (tmp_path / "run.err").write_bytes(f"{ID}\n\xff".encode("latin-1"))
    assert is_local(tmp_path)
    assert forget_videos(tmp_path, MARKS) == 2
    with closing(sqlite3.connect(database)) as connection:
        left = connection.execute('SELECT n, "limit" FROM events ORDER BY n').fetchall()
    assert left == [(2, "range of removed-video and other"), (3, "nothing")]
    assert (tmp_path / "run.err").read_bytes() == b"removed-video\n\xff"
    assert not any(ID.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert forget_videos(tmp_path, MARKS) == 0
