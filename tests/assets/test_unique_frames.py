"""`unique_frames` as a step: what it reuses, what a kill leaves behind, and that any history ends in the same bytes."""

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from miner_assets.stored_vectors import MODEL, embedder_identity
from miner_assets.takedown import remove_videos
from miner_assets.unique_frames import DedupStep
from miner_assets.workspace import Workspace
from miner_resources import storage as storage_module
from miner_resources.errors import InvalidData
from miner_resources.faiss_index import CandidateIndex
from miner_resources.records import FRAMES_SCHEMA, Status, Video, embeddings_schema
from miner_resources.storage import ArtifactKeys
from miner_resources.tables import write_table
from tests.assets.pipelines import demo_config

WIDTH = 8
START = datetime(2026, 1, 1, tzinfo=UTC)


def project(folder: Path, **dedup: object) -> Workspace:
    config = demo_config(folder, [], "dedup.threshold=0.9")
    return Workspace.open(config.model_copy(update={"dedup": config.dedup.model_copy(update=dedup)}))


def vectors_of(seed: int, count: int) -> np.ndarray:
    """Around four centres that all videos share."""
    random = np.random.default_rng(seed)
    middle = np.random.default_rng(0).standard_normal((4, WIDTH))
    vectors = middle[random.integers(0, 4, count)] + 0.3 * random.standard_normal((count, WIDTH))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def put(workspace: Workspace, name: str, seed: int, count: int = 6, *, model: str | None = None) -> None:
    """Register a video (as the `name`-th) and write what the stages before leave; each seed is another content."""
    added_at = START + timedelta(days=ord(name) - ord("a"))
    workspace.catalog.add_videos([Video(video_id=name, url=f"file:///{name}", added_at=added_at)])
    write(workspace, name, seed, count, model=model)


def write(workspace: Workspace, name: str, seed: int, count: int = 6, *, model: str | None = None) -> None:
    keys = ArtifactKeys(f"seed {seed}", str(count))
    storage = workspace.storage
    width = WIDTH if count else 1
    columns = {
        "video_id": [name] * count,
        "frame_index": [30 * index for index in range(count)],
        "embedding": pl.Series(vectors_of(seed, count).reshape(count, width), dtype=pl.Array(pl.Float32, width)),
        "kept": [True] * count,
        "duplicate_of": [None] * count,
        "similarity": [None] * count,
    }
    identity = model or embedder_identity(workspace, workspace.config.dedup)
    with storage.publish_folder(storage.raw_frames(name)) as folder:
        paths = [f"frames_raw/{name}/frame_{30 * index:06d}.jpg" for index in range(count)]
        for path in paths:
            (folder / Path(path).name).write_text(f"{path} {seed}")
        frames = dict.fromkeys(FRAMES_SCHEMA, [None] * count) | {"video_id": [name] * count, "path": paths}
        frames["frame_index"] = columns["frame_index"]
        write_table(folder / "frames.parquet", pl.DataFrame(frames, schema=FRAMES_SCHEMA), keys)
    with storage.publish_file(storage.embeddings_table(name)) as target:
        write_table(target, pl.DataFrame(columns, schema=embeddings_schema(width)), keys, metadata={MODEL: identity})


def take(workspace: Workspace, name: str) -> None:
    """The embeddings are gone, such as while the video is embedded again."""
    workspace.storage.embeddings_table(name).unlink(missing_ok=True)


def step(workspace: Workspace) -> DedupStep:
    return DedupStep(workspace, workspace.config.dedup)


def shown(workspace: Workspace) -> dict[str, bytes]:
    """The table and every linked picture, byte for byte."""
    storage = workspace.storage
    files = [storage.unique_table, storage.linked_version, *sorted(storage.deduplicated_frames.iterdir())]
    return {path.relative_to(storage.root).as_posix(): path.read_bytes() for path in files}


def shown_anew(workspace: Workspace, folder: Path) -> dict[str, bytes]:
    """What a project with the same videos shows that has never decided before."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(workspace.storage.root, folder, ignore=shutil.ignore_patterns("dedup", "frames_deduplicated"))
    fresh = Workspace.open(workspace.config.model_copy(update={"output_dir": folder}))
    step(fresh).run()
    return shown(fresh)


@pytest.fixture
def three(tmp_path: Path) -> Workspace:
    workspace = project(tmp_path / "output")
    for seed, name in enumerate("abd"):
        put(workspace, name, seed)
    step(workspace).run()
    return workspace


def test_only_new_videos_are_read_and_searched_for(three: Workspace) -> None:
    assert step(three).is_current()
    put(three, "e", 9)
    for name in "abd":  # what is not read cannot be missed
        three.storage.frames_table(name).write_bytes(b"")
    assert not step(three).is_current()
    assert step(three).run().computed == 6
    assert step(three).is_current()


def test_the_same_again_costs_nothing(three: Workspace) -> None:
    before = shown(three)
    assert step(three).run().computed == 0
    assert shown(three) == before


CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from("abcde"), st.integers(0, 9), st.integers(0, 7)),
        st.tuples(st.just("take"), st.sampled_from("abcde")),
        st.tuples(st.just("skip"), st.sampled_from("abcde")),
        st.tuples(st.just("pend"), st.sampled_from("abcde")),
    ),
    min_size=1,
    max_size=3,
)


def change(workspace: Workspace, action: str, name: str, *content: int) -> None:
    if action == "put":
        put(workspace, name, *content)
    elif action == "take":
        take(workspace, name)
    else:
        workspace.catalog.set_status([name], Status.SKIPPED if action == "skip" else Status.PENDING)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(CHANGES, min_size=1, max_size=3))
def test_any_history_ends_in_the_bytes_of_a_fresh_project(tmp_path: Path, steps: list[list[tuple]]) -> None:
    shutil.rmtree(tmp_path / "output", ignore_errors=True)
    workspace = project(tmp_path / "output")
    for changes in steps:
        for action in changes:
            change(workspace, *action)
        step(workspace).run()
        assert step(workspace).is_current()
    assert shown(workspace) == shown_anew(workspace, tmp_path / "fresh")


class Killed(BaseException):
    """As if the process were gone."""


def killing(monkeypatch: pytest.MonkeyPatch, survive: int) -> None:
    """Die at the n-th change of the file system: a rename, a link, a removed name or a forced write."""
    left = iter(range(survive))

    def dying(original: Callable) -> Callable:
        def call(*args: object, **kwargs: object) -> object:
            if next(left, None) is None:
                raise Killed
            return original(*args, **kwargs)

        return call

    monkeypatch.setattr("miner_assets.unique_links.link", dying(storage_module.link))
    for name in ("fsync", "unlink"):
        monkeypatch.setattr(f"os.{name}", dying(getattr(os, name)))
    for name in ("rename", "replace"):
        monkeypatch.setattr(Path, name, dying(getattr(Path, name)))


def change_three(workspace: Workspace) -> None:
    take(workspace, "d")
    write(workspace, "a", 7)
    write(workspace, "c", 8)


def test_a_kill_at_any_time_is_repaired_to_the_same_bytes(tmp_path: Path) -> None:
    base = project(tmp_path / "base")
    for seed, name in enumerate("abcde"):
        put(base, name, seed)
    take(base, "c")
    step(base).run()
    before = shown(base)
    change_three(copied(base, tmp_path / "changed"))
    after = shown_anew(project(tmp_path / "changed"), tmp_path / "fresh")
    survived = False
    for survive in range(40):
        workspace = copied(base, tmp_path / "output")
        change_three(workspace)
        with pytest.MonkeyPatch.context() as patch:
            killing(patch, survive)
            with suppress(Killed):
                step(workspace).run()
                survived = True
        taken_back = survive % 2 == 1
        if taken_back:
            # What was half done must not pass for what was there before.
            write(workspace, "d", 3)
            write(workspace, "a", 0)
            take(workspace, "c")
        if not step(workspace).is_current():
            step(workspace).run()
        assert shown(workspace) == (before if taken_back else after), survive
        if survived:
            break
    assert 10 < survive < 39, "the loop went through every moment"


def copied(workspace: Workspace, folder: Path) -> Workspace:
    """A copy of a project."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(workspace.storage.root, folder, copy_function=shutil.copy2)
    return project(folder)


def test_a_picture_that_changed_is_linked_anew(three: Workspace, tmp_path: Path) -> None:
    put(three, "b", 5)
    step(three).run()
    pictures = {name: content for name, content in shown(three).items() if "/b__" in name}
    assert pictures
    assert all(content.endswith(b" 5") for content in pictures.values())


def test_embeddings_of_another_model_are_left_out(three: Workspace) -> None:
    put(three, "c", 5, model="another")
    assert step(three).is_current()
    assert [entry.video_id for entry in step(three).inputs()] == ["a", "b", "d"]
    put(three, "e", 6)
    assert step(three).run().table["video_id"].unique(maintain_order=True).to_list() == ["a", "b", "d", "e"]


def test_a_damaged_store_is_made_again(three: Workspace) -> None:
    before = shown(three)
    next(three.storage.dedup_store.glob("*.f16")).write_bytes(b"short")
    three.storage.unique_table.unlink()
    step(three).run()
    assert shown(three) == before


def test_vectors_of_another_width_name_their_video(three: Workspace) -> None:
    put(three, "e", 6)
    path = three.storage.embeddings_table("e")
    table = pl.read_parquet(path)
    narrow = table["embedding"].to_numpy()[:, :4]
    narrow = pl.Series(narrow / np.linalg.norm(narrow, axis=1, keepdims=True), dtype=pl.Array(pl.Float32, 4))
    metadata = {MODEL: embedder_identity(three, three.config.dedup)}
    write_table(path, table.with_columns(embedding=narrow), ArtifactKeys("c", "d"), metadata=metadata)
    with pytest.raises(InvalidData, match="embeddings of e"):
        step(three).run()


def test_takedown_leaves_no_trace_of_a_video(three: Workspace) -> None:
    vector = vectors_of(1, 6).astype(np.float16)[0].tobytes()
    assert any(vector in path.read_bytes() for path in three.storage.dedup_store.iterdir())
    remove_videos(three, ["b"])
    left = [path for path in three.storage.root.rglob("*") if path.is_file() and "dedup" in path.as_posix()]
    assert not any(vector in path.read_bytes() for path in left)
    step(three).run()
    assert "b" not in step(three).run().table["video_id"]


def test_the_index_is_stored_grows_and_never_invents_a_repeat(tmp_path: Path) -> None:
    workspace = project(tmp_path / "output", index="faiss")
    for seed, name in enumerate("abcd"):
        put(workspace, name, seed, count=40)
    done = step(workspace).run()
    assert done.search == "faiss"
    table = done.table
    assert (table.filter(~pl.col("kept"))["similarity"] >= 0.9).all()
    index = next(workspace.storage.dedup_store.glob("*.faiss"))
    assert len(CandidateIndex.load(index).rows()) == table["kept"].sum()
    put(workspace, "e", 9, count=40)
    later = step(workspace).run()
    assert (later.search, later.computed) == ("faiss", 40)
    assert later.table.head(len(table)).equals(table)
    index.write_bytes(b"damaged")
    put(workspace, "f", 10, count=40)
    assert step(workspace).run().computed == 40


def test_auto_takes_the_index_above_a_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = project(tmp_path / "output")
    for seed, name in enumerate("acde"):
        put(workspace, name, seed, count=20)
    assert step(workspace).run().search == "exact"
    monkeypatch.setattr("miner_assets.unique_search.EXACT_WORK", 1_000)
    put(workspace, "b", 7, count=20)
    done = step(workspace).run()
    assert (done.search, done.computed) == ("faiss", 80), "those after it are not compared one by one"
    repeats = done.table.filter(~pl.col("kept"))
    assert (repeats["similarity"] >= 0.9).all()
    assert repeats["duplicate_of"].is_in(done.table.filter("kept")["frame_id"].to_list()).all()
    put(workspace, "f", 8, count=20)
    assert step(project(tmp_path / "output", index="exact")).run().search == "exact"
