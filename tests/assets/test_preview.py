"""`video-miner preview` and the contact sheets of the filter: real pixels, from a mined project."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from miner_assets.cli import app
from miner_assets.pipeline_run import PipelineRun
from miner_assets.score_chart import SIDES
from miner_assets.threshold_sheet import WIDTH
from miner_assets.workspace import Workspace
from miner_resources.config import MinerConfig
from miner_resources.config_files import to_yaml
from miner_resources.records import Stage
from tests.assets.pipelines import digests


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def preview(mined: tuple[MinerConfig, PipelineRun], tmp_path: Path) -> Callable[..., str]:
    """Runs the command on the mined project; the picture goes to tmp_path/sheet.png."""
    file = tmp_path / "project.yaml"
    file.write_text(to_yaml(mined[0]), encoding="utf-8")

    def _run(*arguments: object, code: int = 0) -> str:
        words = ["preview", str(file), "--picture", str(tmp_path / "sheet.png"), *map(str, arguments)]
        result = CliRunner().invoke(app, words)
        assert result.exit_code == code, result.output
        return result.output

    return _run


def columns(output: str, name: str) -> list[str]:
    row = next(line for line in output.splitlines() if line.startswith(f"│ {name}"))
    return [cell.strip() for cell in row.strip("│").split("│")]


def sheet(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def pixels_of(picture: np.ndarray, side: str) -> int:
    return int((picture == SIDES[side]).all(axis=2).sum())


def test_it_counts_what_the_filter_kept_and_draws_it(preview: Callable[..., str], tmp_path: Path, mined) -> None:
    output = preview()
    records = Workspace.open(mined[0]).catalog.stage_records()
    metrics = [record.metrics["thresholds"]["red circle"] for record in records if record.stage is Stage.FILTER]
    expected = [sum(metric[key] for metric in metrics) for key in ("above", "vetoed", "below")]
    assert [int(cell) for cell in columns(output, "red circle")[2:5]] == expected
    picture = sheet(tmp_path / "sheet.png")
    assert picture.shape[1] == WIDTH
    assert pixels_of(picture, "above") > 1000
    assert pixels_of(picture, "below") > 1000
    assert pixels_of(picture, "vetoed") < 1000  # legends only


def test_another_threshold_is_tried_without_touching_the_project(preview: Callable[..., str], mined) -> None:
    before = digests(mined[0].output_dir)
    usual, strict = (columns(preview("-o", f"filter.threshold={value}"), "blue square") for value in (0.5, 0.99999))
    assert strict[1] == "0.99999"
    assert int(strict[2]) < int(usual[2])
    assert digests(mined[0].output_dir) == before


def test_scores_for_other_texts_are_not_judged(preview: Callable[..., str]) -> None:
    output = preview("-o", "classes={red circle: {prompts: [a green zebra]}}", code=1)
    assert "4 videos are left out: they were scored for other texts or by another model" in output
    assert "has no scores yet" in output


def test_one_class_only_is_drawn_but_all_are_counted(preview: Callable[..., str], tmp_path: Path) -> None:
    preview()
    whole = sheet(tmp_path / "sheet.png")
    output = preview("--class", "yellow star", "--frames", 4)
    assert columns(output, "red circle")
    assert sheet(tmp_path / "sheet.png").shape[0] < whole.shape[0] / 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--class", "zebra"], ["'zebra'", "red circle"]),
        (["--output", "{empty}"], ["has no scores yet", "run-config"]),
        (["--picture", "sheet.gif"], ["sheet.gif is no picture", ".png"]),
        (["--picture", "{file}/sheet.png"], ["cannot be written", "another place"]),
    ],
)
def test_wrong_use_is_explained(
    preview: Callable[..., str], tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    (tmp_path / "file").touch()
    places = {"empty": tmp_path / "empty", "file": tmp_path / "file"}
    output = preview(*(argument.format(**places) for argument in arguments), code=1)
    assert all(word in output for word in words)


def test_frames_whose_picture_is_damaged_are_left_out(mined, tmp_path: Path) -> None:
    copy = tmp_path / "output"
    shutil.copytree(mined[0].output_dir, copy)
    for path in (copy / "frames_raw").rglob("*.jpg"):
        path.unlink()  # a hard link, so that it is not written to
        path.write_bytes(b"not a picture")
    file = tmp_path / "project.yaml"
    file.write_text(to_yaml(mined[0].model_copy(update={"output_dir": copy})), encoding="utf-8")
    result = CliRunner().invoke(app, ["preview", str(file)])
    assert result.exit_code == 0, result.output
    assert "frames are not shown: their pictures cannot be read" in result.output
    assert sheet(copy / "contact_sheets" / "filter.jpg").shape[1] == WIDTH


def test_each_video_has_its_sheet(mined) -> None:
    config, done = mined
    assert done
    for video in Workspace.open(config).catalog.videos():
        picture = sheet(config.output_dir / "contact_sheets" / "filter" / f"{video.video_id}.jpg")
        assert picture.shape[1] == WIDTH
        assert picture.std() > 20
