"""`video-miner thresholds` counts exactly what runs with those thresholds decide."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from miner_assets.cli import app
from miner_assets.workspace import Workspace
from miner_resources.config import MinerConfig
from miner_resources.config_files import to_yaml
from miner_resources.records import Stage
from tests.assets.pipelines import demo_config, run


def counted(config: MinerConfig, *words: str, code: int = 0) -> str:
    (config.output_dir / "config.yaml").write_text(to_yaml(config.remembered()))
    result = CliRunner().invoke(app, ["thresholds", *words, "--output", str(config.output_dir)])
    assert result.exit_code == code, result.output
    return result.stdout if code == 0 else result.output


def made(config: MinerConfig, stage: Stage, name: str) -> int:
    records = Workspace.open(config).catalog.stage_records(stage=stage)
    return sum(int(str(record.metrics[name])) for record in records)


def test_counts_are_those_of_runs_with_these_thresholds(demo_videos: Path, tmp_path: Path) -> None:
    sources = [demo_videos / "demo_00.mp4", demo_videos / "demo_01.mp4"]
    config = demo_config(tmp_path / "output", sources, "filter.threshold=0.3")
    assert run(config).ok
    words = ("--filter", "0.3,0.97", "--dedup", "0.85,0.97", "--detection", "0.3,0.9", "--format", "json")
    grid = json.loads(counted(config, *words))
    for row, threshold in zip(grid["filter"], (0.3, 0.97), strict=True):
        other = demo_config(
            config.output_dir, sources, f"filter.threshold={threshold}", "stages=[filter]", "from_registry=all"
        )
        assert run(other).ok
        assert (row["kept"], row["of"]) == (made(config, Stage.FILTER, "kept"), made(config, Stage.FILTER, "rows"))
        assert row["unseen"] == 0
    for row, threshold in zip(grid["dedup"], (0.85, 0.97), strict=True):
        settings = (
            "filter.threshold=0.3",
            f"dedup.threshold={threshold}",
            "stages=[filter,embed]",
            "from_registry=all",
        )
        assert run(demo_config(config.output_dir, sources, *settings)).ok
        assert row["kept"] == made(config, Stage.EMBED, "kept")
    for row, threshold in zip(grid["detection"], (0.3, 0.9), strict=True):
        settings = ("filter.threshold=0.3", f"detection.confidence_threshold={threshold}", "from_registry=all")
        assert run(demo_config(config.output_dir, sources, *settings, "detection.force=true")).ok
        assert row["kept"] == made(config, Stage.DETECT, "kept")
        assert sum(row["items"].values()) == made(config, Stage.DETECT, "boxes")


def test_frames_that_were_never_embedded_are_counted_apart(demo_videos: Path, tmp_path: Path) -> None:
    config = demo_config(tmp_path / "output", [demo_videos / "demo_00.mp4"], "filter.threshold=1.0")
    assert run(config).ok
    (row,) = json.loads(counted(config, "--filter", "0.001", "--format", "json"))["filter"]
    assert row["unseen"] > 0
    assert "not embedded yet" in " ".join(counted(config, "--filter", "0.001").split())


@pytest.mark.parametrize("words", [("--filter", "2"), ("--dedup", "a"), ("--detection", ""), ("--format", "xml")])
def test_what_is_no_threshold_is_named(tmp_path: Path, words: tuple[str, str]) -> None:
    output = tmp_path / "output"
    output.mkdir()
    result = CliRunner().invoke(app, ["thresholds", *words, "--output", str(output)])
    assert result.exit_code == 1
    assert words[0] in result.output
