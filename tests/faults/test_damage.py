"""Files that were damaged since the last run: the next one sets them aside or makes them anew, to the same bytes."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from miner_assets.pipeline_run import PipelineRun
from miner_assets.workspace import Workspace
from miner_resources.config import MinerConfig
from miner_resources.registry.database import DamagedRegistry
from miner_resources.storage import Storage
from tests.assets.conftest import demo_videos, mined  # noqa: F401 (fixtures)
from tests.assets.pipelines import digests, run

Target = Callable[[Storage, list[str]], Path]


def garbage(path: Path) -> None:
    """The right length, the wrong bytes: what a disk gives back that has lost them."""
    content = bytes(path.stat().st_size)
    path.unlink()  # other names of the same file stay as they are
    path.write_bytes(content)


def half(path: Path) -> None:
    """The beginning only."""
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[: len(content) // 2])


@pytest.fixture
def copy(mined: tuple[MinerConfig, PipelineRun], tmp_path: Path) -> MinerConfig:  # noqa: F811
    folder = tmp_path / "output"
    shutil.copytree(mined[0].output_dir, folder)
    return mined[0].model_copy(update={"output_dir": folder})


@pytest.mark.parametrize("damage", [garbage, half])
def test_damaged_tables_are_made_anew(copy: MinerConfig, damage: Callable[[Path], None]) -> None:
    storage, expected = Storage(copy.output_dir), digests(copy.output_dir)
    one, two, three, four = sorted(video.video_id for video in Workspace.open(copy).catalog.videos())
    for path in (
        storage.frames_table(one),
        storage.scores_table(two),
        storage.embeddings_table(three),
        storage.detections_table(four),
        storage.unique_table,
        *(path for path in storage.dedup_store.iterdir() if path.is_file()),
        storage.annotations,
        storage.dataset / "made_from.json",
    ):
        damage(path)
    assert run(copy).ok
    assert digests(copy.output_dir) == expected


def test_a_damaged_registry_is_set_aside_and_made_again(copy: MinerConfig, caplog: pytest.LogCaptureFixture) -> None:
    storage, expected = Storage(copy.output_dir), digests(copy.output_dir)
    garbage(storage.registry)
    broken = storage.registry.read_bytes()
    assert run(copy).ok
    assert f"{storage.registry} cannot be used" in caplog.text
    kept = storage.root / "registry.damaged.duckdb"
    assert kept.read_bytes() == broken
    kept.unlink()
    assert digests(copy.output_dir) == expected


def test_a_registry_that_turns_out_to_be_damaged_says_what_to_do(copy: MinerConfig) -> None:
    storage, expected = Storage(copy.output_dir), digests(copy.output_dir)
    half(storage.registry)
    with pytest.raises(DamagedRegistry) as caught:
        run(copy)
    assert "registry rebuild" in caught.value.remedy
    Workspace.open(copy).catalog.rebuild()
    assert run(copy).ok
    (storage.root / "registry.damaged.duckdb").unlink(missing_ok=True)
    assert digests(copy.output_dir) == expected


@pytest.mark.parametrize("damage", [garbage, half])
def test_damaged_facts_of_a_video_are_found_again(copy: MinerConfig, damage: Callable[[Path], None]) -> None:
    storage, expected = Storage(copy.output_dir), digests(copy.output_dir)
    damage(storage.info(Workspace.open(copy).catalog.videos()[0].video_id))
    assert run(copy).ok
    assert digests(copy.output_dir) == expected


@pytest.mark.parametrize("damage", [garbage, half])
def test_damaged_pictures_are_extracted_again(copy: MinerConfig, damage: Callable[[Path], None]) -> None:
    storage, expected = Storage(copy.output_dir), digests(copy.output_dir)
    video_id = Workspace.open(copy).catalog.videos()[0].video_id
    damage(sorted(storage.raw_frames(video_id).glob("*.jpg"))[3])
    storage.scores_table(video_id).unlink()
    (storage.filtered_frames(video_id) / "features.parquet").unlink()
    failure = run(copy).failures[video_id]
    assert "DamagedPicture" in str(failure.error)
    assert "extracted anew" in str(failure.remedy)
    assert run(copy).ok
    assert digests(copy.output_dir) == expected
