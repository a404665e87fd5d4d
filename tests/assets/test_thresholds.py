"""`video-miner thresholds` counts exactly what runs with those thresholds keep, and shows what lies around them."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright
from typer.testing import CliRunner

from miner_assets.cli import app
from miner_assets.logic.threshold_grid import Counted
from miner_assets.pipeline_run import PipelineRun
from miner_assets.result import annotation_count, frame_counts
from miner_assets.threshold_counts import ThresholdCounter, configured
from miner_assets.threshold_inputs import ThresholdInputs
from miner_assets.workspace import Workspace
from miner_resources.config import MinerConfig
from miner_resources.config_files import to_yaml
from miner_resources.records import Stage
from tests.assets.explore.test_browser import CHROMIUM, QUIET
from tests.assets.pipelines import demo_config, digests, run

Mined = tuple[MinerConfig, PipelineRun]


@pytest.fixture
def copy(mined: Mined, tmp_path: Path) -> MinerConfig:
    """The mined project, to be changed."""
    shutil.copytree(mined[0].output_dir, tmp_path / "output")
    return mined[0].model_copy(update={"output_dir": tmp_path / "output"})


def count(config: MinerConfig, **grids: Sequence[float]) -> dict[str, list[Counted]]:
    counter, inputs = ThresholdCounter(config, grids), ThresholdInputs(Workspace.open(config))
    for video in inputs.videos():
        counter.see(video)
    assert inputs.left_out == 0
    return counter.counted()


def changed(config: MinerConfig, axis: str, value: float) -> MinerConfig:
    update: dict[str, object] = {"threshold": value}
    if axis == "detection":  # its records count boxes by the threshold of the run that made them
        update = {"confidence_threshold": value, "force": True}
    return config.model_copy(update={axis: getattr(config, axis).model_copy(update=update)})


def made(config: MinerConfig, axis: str) -> dict[str, int]:
    """What the last run really kept."""
    workspace = Workspace.open(config)
    stage = {"filter": Stage.FILTER, "dedup": Stage.EMBED, "detection": Stage.DETECT}[axis]
    records = workspace.catalog.stage_records(stage=stage)
    kept = sum(int(str(record.metrics["kept"])) for record in records)
    images = int(str(frame_counts(workspace)["unique"]))
    return {"kept": kept, "images": images, "boxes": annotation_count(workspace)}


def told(row: Counted) -> Mapping[str, int | None]:
    return {"kept": row.kept, "images": row.images, "boxes": row.boxes}


def command(config: MinerConfig, *words: object, code: int = 0) -> str:
    (config.output_dir / "config.yaml").write_text(to_yaml(config.remembered()))
    result = CliRunner().invoke(app, ["thresholds", *map(str, words), "--output", str(config.output_dir)])
    assert result.exit_code == code, result.output
    return result.stdout if code == 0 else result.output


def test_as_configured_it_counts_what_is_there(mined: Mined) -> None:
    now = configured(mined[0])
    counted = count(mined[0], filter=[now.filter], dedup=[now.dedup], detection=[now.detection])
    for axis, (row,) in counted.items():
        assert told(row) == made(mined[0], axis)
        assert row.current
        assert row.unseen == row.undetected == 0
    assert sum(counted["filter"][0].items.values()) == counted["filter"][0].kept
    assert counted["dedup"][0].of == counted["filter"][0].kept
    assert counted["detection"][0].of == counted["dedup"][0].kept


# The last one has no way back: frames that the filter drops lose their vectors.
def test_stricter_thresholds_count_what_runs_keep(copy: MinerConfig) -> None:
    steps = (("detection", 0.95), ("dedup", 0.3), ("filter", 0.999999))
    counted = count(copy, **{axis: [value, *vars(configured(copy)).values()] for axis, value in steps})
    for axis, value in steps:
        (row,) = [row for row in counted[axis] if row.threshold == value]
        (now,) = [row for row in counted[axis] if row.current]
        assert row.kept < now.kept
        assert told(row) != told(now)
        assert row.unseen == 0
        other = changed(copy, axis, value)
        assert run(other).ok
        real = made(other, axis)
        if axis == "filter":  # other frames than before are the first of their kind
            assert row.undetected > 0
            assert (row.kept, row.images) == (real["kept"], real["images"])
            assert row.boxes is not None
            assert row.boxes <= real["boxes"]
        else:
            assert row.undetected == 0
            assert told(row) == real
    (back,) = count(other, filter=[configured(copy).filter])["filter"]
    assert back.unseen == back.kept - row.kept > 0
    assert back.dataset_cells()[0].startswith("≈ ")


def test_a_looser_dedup_says_what_the_detector_has_not_seen(copy: MinerConfig) -> None:
    (row,) = count(copy, dedup=[0.97])["dedup"]
    assert row.undetected > 0
    loose = changed(copy, "dedup", 0.97)
    assert run(loose).ok
    real = made(loose, "dedup")
    assert (row.kept, row.images) == (real["kept"], real["images"])
    assert row.boxes is not None
    assert row.boxes < real["boxes"]
    (after,) = count(loose, dedup=[0.97])["dedup"]
    assert told(after) == real
    assert after.undetected == 0


def test_a_threshold_of_its_own_across_videos_stays(mined: Mined) -> None:
    apart = mined[0].model_copy(update={"dedup": mined[0].dedup.model_copy(update={"cross_video_threshold": 1.0})})
    for row in count(apart, dedup=[0.85, 0.97])["dedup"]:
        assert row.images == row.kept


def test_too_many_frames_are_not_compared(copy: MinerConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("miner_assets.threshold_counts.MOST_ACROSS", 1)
    rows = json.loads(command(copy, "--format", "json"))
    assert {row["images"] for found in rows.values() for row in found} == {None}
    assert all(row["kept"] for row in rows["dedup"])


def test_frames_that_were_never_embedded_are_counted_apart(demo_videos: Path, tmp_path: Path) -> None:
    config = demo_config(tmp_path / "output", [demo_videos / "demo_00.mp4"], "filter.threshold=1.0")
    assert run(config).ok
    (row,) = json.loads(command(config, "--filter", "0.001", "--format", "json"))["filter"]
    assert row["unseen"] > 0
    assert "not embedded yet" in " ".join(command(config, "--filter", "0.001").split())


def test_videos_scored_for_other_classes_are_left_out(copy: MinerConfig) -> None:
    other = copy.model_copy(update={"classes": dict(list(copy.classes.items())[:2])})
    assert "has no scores yet" in " ".join(command(other, code=1).split())


def test_the_command_prints_and_changes_nothing_but_its_page(copy: MinerConfig) -> None:
    (copy.output_dir / "config.yaml").write_text(to_yaml(copy.remembered()))
    before = digests(copy.output_dir)
    words = ("--filter", "0.5,0.9999", "--dedup", "0.85,0.95", "--format", "json")
    found = json.loads(command(copy, *words))
    assert digests(copy.output_dir) == before
    assert [row["threshold"] for row in found["filter"]] == [0.5, 0.9999]
    assert [row["current"] for row in found["dedup"]] == [True, False]
    assert {"threshold", "kept", "of", "items", "unseen"} <= set(found["detection"][0])
    assert "now" in command(copy)
    assert [name for name in digests(copy.output_dir) if name not in before] == ["contact_sheets/thresholds.html"]


def test_the_page_shows_pictures_and_fits(copy: MinerConfig, tmp_path: Path) -> None:
    if CHROMIUM is None:
        pytest.skip("no Chromium")
    page = tmp_path / "pages" / "tried.html"
    command(copy, "--filter", "0.5,0.9999", "--page", page)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*QUIET])
        tab = browser.new_page(viewport={"width": 390, "height": 844})
        errors: list[str] = []
        tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        tab.goto(page.as_uri())
        titles = tab.locator("h3").all_inner_texts()
        sizes = tab.evaluate("[...document.images].map((image) => [image.naturalWidth, image.alt])")
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert tab.locator("tr.now").count() == 3
        browser.close()
    assert errors == []
    assert titles[:2] == ["Frames around filter.threshold 0.5", "Frames around filter.threshold 0.9999"]
    assert "Pairs around dedup.threshold 0.85" in titles
    assert any(title.endswith("boxes around detection.confidence_threshold 0.3") for title in titles)
    assert [alt for _, alt in sizes[1:]] == titles
    assert all(width >= 300 for width, _ in sizes)


@pytest.mark.parametrize(
    "words",
    [("--filter", "2"), ("--dedup", "a"), ("--detection", ""), ("--format", "xml"), ("--page", "page.jpg")],
)
def test_wrong_use_is_named(tmp_path: Path, words: tuple[str, str]) -> None:
    output = tmp_path / "output"
    output.mkdir()
    result = CliRunner().invoke(app, ["thresholds", *words, "--output", str(output)])
    assert result.exit_code == 1
    assert words[0] in result.output
