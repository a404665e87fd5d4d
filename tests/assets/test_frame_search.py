"""Search over a mined project with its real models: what is found, how it is scored, and where links lead."""

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from typer.testing import CliRunner

from miner_assets.cli import app
from miner_assets.frame_search import FrameSearch
from miner_assets.pipeline_run import PipelineRun
from miner_assets.workspace import Workspace
from miner_resources.config import MinerConfig
from miner_resources.config_files import to_yaml
from miner_resources.errors import InvalidData, NotFound
from tests.assets.pipelines import dagster_home

Mined = tuple[MinerConfig, PipelineRun]


@pytest.fixture(scope="module")
def search(mined: Mined) -> FrameSearch:
    """One for all tests, as it is meant to be used."""
    return FrameSearch(Workspace.open(mined[0]))


@pytest.fixture
def copy(mined: Mined, tmp_path: Path) -> MinerConfig:
    """The mined project, to be changed."""
    shutil.copytree(mined[0].output_dir, tmp_path / "output")
    return mined[0].model_copy(update={"output_dir": tmp_path / "output"})


def stored(config: MinerConfig, pattern: str) -> pl.DataFrame:
    return pl.concat([pl.read_parquet(path) for path in sorted(config.output_dir.glob(pattern))])


def with_model(config: MinerConfig, section: str, **values: object) -> MinerConfig:
    return config.model_copy(update={section: getattr(config, section).model_copy(update=values)})


def test_a_text_has_the_scores_of_the_filter(search: FrameSearch, mined: Mined) -> None:
    scores = stored(mined[0], "frames_filtered/*/scores.parquet")
    of_class = scores.select(
        "video_id", "frame_index", score=pl.col("scores").list.get(list(mined[0].classes).index("blue square"))
    )
    matches = search.by_text(" blue  square ", len(scores))
    found = {(match.video_id, match.frame_index): match.score for match in matches}
    assert found == {(video, index): score for video, index, score in of_class.iter_rows()}
    assert [match.score for match in matches] == sorted(found.values(), reverse=True)


def test_dropped_frames_are_found_too(search: FrameSearch, mined: Mined) -> None:
    dropped = stored(mined[0], "frames_filtered/*/scores.parquet").filter(~pl.col("kept"))
    found = {match.frame_id for match in search.by_text("red circle", 10_000)}
    assert len(dropped)
    assert {f"{video}:{index}" for video, index in dropped.select("video_id", "frame_index").iter_rows()} <= found


def test_links_open_the_source_at_the_frame(search: FrameSearch, mined: Mined) -> None:
    urls = {video.video_id: video.url for video in Workspace.open(mined[0]).catalog.videos()}
    times = {
        (video, index): seconds
        for video, index, seconds in stored(mined[0], "frames_raw/*/frames.parquet")
        .select("video_id", "frame_index", "timestamp_s")
        .iter_rows()
    }
    for match in search.by_text("yellow star", 5):
        assert match.timestamp_s == times[match.video_id, match.frame_index]
        assert match.source_url.startswith(Path(urls[match.video_id]).as_uri() + "#t=")
        assert float(match.source_url.rpartition("=")[2]) == pytest.approx(match.timestamp_s, abs=1e-3)


def test_a_stored_frame_needs_no_model(mined: Mined, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("miner_resources.models.loading.load_text_image_model", refuse)
    monkeypatch.setattr("miner_resources.models.loading.load_embedder", refuse)
    embeddings = stored(mined[0], "embeddings/*.parquet")
    vectors = embeddings["embedding"].to_numpy()
    cosines = vectors @ vectors[0]
    second = np.sort(cosines)[-2]
    names = [f"{video}:{index}" for video, index in embeddings.select("video_id", "frame_index").iter_rows()]
    matches = FrameSearch(Workspace.open(mined[0])).by_image(names[0], 5)
    assert len(matches) == 5
    assert names[0] in {match.frame_id for match in matches if match.score == pytest.approx(1, abs=1e-5)}
    assert matches[1].score == pytest.approx(float(second), abs=1e-6)


def test_a_dropped_frame_is_compared_by_the_filters_features(mined: Mined) -> None:
    dropped = stored(mined[0], "frames_filtered/*/scores.parquet").filter(~pl.col("kept")).row(0, named=True)
    said: list[str] = []
    search = FrameSearch(Workspace.open(mined[0]), notice=said.append)
    assert len(search.by_image(f"{dropped['video_id']}:{dropped['frame_index']}", 3)) == 3
    assert "filter's image features" in said[0]


def test_a_picture_finds_the_frame_it_is(search: FrameSearch, mined: Mined) -> None:
    row = stored(mined[0], "embeddings/*.parquet").filter("kept").row(3, named=True)
    path = next((mined[0].output_dir / "frames_raw" / row["video_id"]).glob(f"frame_{row['frame_index']:06d}.*"))
    best = search.by_image(path, 3)[0]
    assert best.score == pytest.approx(1, abs=1e-4)


def test_without_the_embedder_a_picture_is_compared_by_the_filters_features(mined: Mined) -> None:
    said: list[str] = []
    other = with_model(mined[0], "dedup", model="siglip", resize="squash")
    search = FrameSearch(Workspace.open(other), notice=said.append)
    path = next((mined[0].output_dir / "frames_raw").rglob("*.jpg"))
    assert search.by_image(path, 1)[0].score == pytest.approx(1, abs=1e-3)
    assert said == ["compared by the filter's image features: no frame is embedded by dedup.model"]


def test_features_of_another_model_are_not_compared(mined: Mined) -> None:
    other = mined[0].model_copy(update={"precision": "bf16"})
    with pytest.raises(NotFound, match=r"of another model than filter\.model = demo") as caught:
        FrameSearch(Workspace.open(other)).by_text("red circle", 3)
    assert "--stages filter" in caught.value.remedy


def test_videos_with_other_features_are_left_out_and_named(copy: MinerConfig) -> None:
    folder = next((copy.output_dir / "frames_raw").iterdir())
    frames = folder / "frames.parquet"
    metadata = pl.read_parquet_metadata(frames) | {"video_miner.compute_key": "sampled anew"}
    table = pl.read_parquet(frames)
    frames.unlink()  # a copy, but may be a link
    table.write_parquet(frames, metadata=metadata)
    said: list[str] = []
    matches = FrameSearch(Workspace.open(copy), notice=said.append).by_text("red circle", 10_000)
    assert folder.name not in {match.video_id for match in matches}
    assert "1 videos are not searched" in said[0]


def test_frames_that_are_mined_later_are_found(copy: MinerConfig) -> None:
    folder = copy.output_dir / "frames_filtered"
    hidden = next(folder.iterdir())
    hidden.rename(copy.output_dir / "elsewhere")
    search = FrameSearch(Workspace.open(copy))
    assert hidden.name not in {match.video_id for match in search.by_text("red circle", 10_000)}
    (copy.output_dir / "elsewhere").rename(hidden)
    assert hidden.name in {match.video_id for match in search.by_text("red circle", 10_000)}


def test_what_is_taken_down_is_no_longer_found(copy: MinerConfig) -> None:
    search = FrameSearch(Workspace.open(copy))
    first = search.by_text("red circle", 1)[0].video_id
    with dagster_home(copy.output_dir):
        result = CliRunner().invoke(app, ["registry", "remove", first, "--yes", "--output", str(copy.output_dir)])
    assert result.exit_code == 0, result.output
    assert first not in {match.video_id for match in search.by_text("red circle", 50)}


def test_wrong_questions_are_explained(search: FrameSearch, mined: Mined, tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match="no text"):
        search.by_text("  ", 3)
    with pytest.raises(NotFound, match="no vector of frame nobody:7"):
        search.by_image("nobody:7", 3)
    with pytest.raises(NotFound, match="there is no picture"):
        search.by_image(tmp_path / "none.jpg", 3)
    empty = mined[0].model_copy(update={"output_dir": tmp_path})
    with pytest.raises(NotFound, match="no features to search in yet"):
        FrameSearch(Workspace.open(empty)).by_text("red circle", 3)


@pytest.fixture
def find(mined: Mined, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Runs the command on the mined project."""
    file = tmp_path / "project.yaml"
    file.write_text(to_yaml(mined[0]), encoding="utf-8")
    monkeypatch.setenv("VIDEO_MINER_CONFIG", str(file))

    def _run(*arguments: object, code: int = 0) -> str:
        result = CliRunner().invoke(app, ["find", *map(str, arguments)])
        assert result.exit_code == code, result.output
        return result.output if code else result.stdout

    return _run


def test_the_command_prints_what_programs_can_read(find: Callable[..., str], tmp_path: Path) -> None:
    rows = json.loads(find("red circle", "--top", 4, "--format", "json"))
    assert len(rows) == 4
    cells = list(csv.DictReader(io.StringIO(find("red circle", "--top", 4, "--format", "csv"))))
    assert [row["frame_id"] for row in cells] == [row["frame_id"] for row in rows]
    table = find("--like", rows[0]["frame_id"], "--top", 3, "--sheet", tmp_path / "sheet.png")
    assert "3 frames" in table
    assert table.count("#t=") == 3
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert np.asarray(sheet).std() > 20


def test_a_sheet_shows_what_can_be_read(copy: MinerConfig, tmp_path: Path) -> None:
    (copy.output_dir / "config.yaml").write_text(to_yaml(copy.remembered()))
    words = ["find", "red circle", "--top", "3", "--output", str(copy.output_dir)]
    first = json.loads(CliRunner().invoke(app, [*words, "--format", "json"]).stdout)[0]
    picture = Workspace.open(copy).storage.raw_frames(first["video_id"]) / f"frame_{first['frame_index']:06d}.jpg"
    picture.write_bytes(b"no picture")
    result = CliRunner().invoke(app, [*words, "--sheet", str(tmp_path / "sheet.png")])
    assert result.exit_code == 0, result.output
    assert "1 frames are not shown" in result.output
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width < 3 * 240


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "either a TEXT or --like"),
        (["text", "--like", "a.jpg"], 2, "either a TEXT or --like"),
        (["text", "--format", "xml"], 2, "table, json, csv"),
        (["--like", "nowhere.jpg"], 1, "there is no picture nowhere.jpg"),
        (["--like", "nobody:3"], 1, "no vector of frame nobody:3"),
        (["car", "--output", "{empty}"], 1, "run the filter first"),
    ],
)
def test_wrong_use_is_explained(
    find: Callable[..., str], tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    said = find(*(argument.format(empty=tmp_path / "empty") for argument in arguments), code=code)
    assert words in " ".join(said.replace("│", " ").split())
