"""`video-miner find`: texts, pictures and frames, on a mined project."""

import json
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from miner_assets.cli import app
from miner_assets.pipeline_run import PipelineRun
from miner_resources.config import MinerConfig
from miner_resources.config_files import to_yaml
from miner_resources.storage import Storage


@pytest.fixture
def output(mined: tuple[MinerConfig, PipelineRun]) -> Path:
    folder = mined[0].output_dir
    (folder / "config.yaml").write_text(to_yaml(mined[0].remembered()))
    return folder


def find(output: Path, *words: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["find", *map(str, words), "--output", str(output)])
    assert result.exit_code == code, result.output
    return result.stdout if code == 0 else result.output


def best_of(output: Path, category: str) -> pl.DataFrame:
    tables = [pl.read_parquet(path) for path in Storage(output).scores_tables()]
    return pl.concat(tables).filter((pl.col("best_class") == category) & pl.col("kept"))


def test_a_text_finds_what_it_says(output: Path) -> None:
    found = json.loads(find(output, "red circle", "--top", 5, "--format", "json"))
    assert len(found) == 5
    assert [match["score"] for match in found] == sorted((match["score"] for match in found), reverse=True)
    shown = best_of(output, "red circle").select(pl.concat_str("video_id", pl.lit(":"), "frame_index")).to_series()
    assert found[0]["frame_id"] in set(shown)
    assert found[0]["source_url"].startswith("file://")


def test_a_frame_is_most_like_itself(output: Path) -> None:
    row = best_of(output, "blue square").row(0, named=True)
    name = f"{row['video_id']}:{row['frame_index']}"
    assert name in find(output, "--like", name, "--top", 3)
    picture = Storage(output).raw_frames(row["video_id"]) / f"frame_{row['frame_index']:06d}.jpg"
    (best,) = json.loads(find(output, "--like", picture, "--top", 1, "--format", "json"))
    assert best["score"] > 0.999


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "either a TEXT or --like"),
        (["a", "--like", "b"], 2, "either a TEXT or --like"),
        (["a", "--format", "xml"], 2, "xml"),
        (["--like", "nobody:3"], 1, "no vector of frame nobody:3"),
    ],
)
def test_what_cannot_be_done_is_said(output: Path, words: list[str], code: int, said: str) -> None:
    assert said in " ".join(find(output, *words, code=code).split())


def test_a_project_without_features_says_what_to_run(tmp_path: Path) -> None:
    assert "run the filter first" in " ".join(find(tmp_path, "car", code=1).split())
