"""A disk that is full or read-only: a run says so, and the next one, with room, ends in the same bytes."""

import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest

from miner_assets.pipeline_run import PipelineRun
from miner_resources.config import MinerConfig
from miner_resources.config_files import to_yaml
from tests.assets.conftest import demo_videos, mined  # noqa: F401 (fixtures)
from tests.assets.pipelines import demo_config, digests
from tests.assets.test_resume import COMMAND


@pytest.fixture
def small_disk(tmp_path: Path) -> Generator[Path]:
    """A file system of its own, in memory, on which a video or two have room."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no file systems can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def run_config(config: MinerConfig, folder: Path) -> subprocess.CompletedProcess[str]:
    file = folder / "config.yaml"
    file.write_text(to_yaml(config))
    return subprocess.run([COMMAND, "run-config", file], capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("size", ["3m", "9m"])
def test_a_full_disk_is_named_and_loses_nothing(
    small_disk: Path,
    mined: tuple[MinerConfig, PipelineRun],  # noqa: F811
    demo_videos: Path,  # noqa: F811
    tmp_path: Path,
    size: str,
) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", small_disk], check=True)
    config = demo_config(small_disk / "output", [demo_videos])
    full = run_config(config, tmp_path)
    assert full.returncode
    assert "Traceback" not in full.stdout + full.stderr
    assert "No space left on device" in full.stderr
    assert "free some space" in full.stderr
    subprocess.run(["mount", "-o", "remount,size=200m", small_disk], check=True)
    assert run_config(config, tmp_path).returncode == 0
    assert digests(config.output_dir) == digests(mined[0].output_dir)


@pytest.mark.slow
def test_a_read_only_disk_is_named(small_disk: Path, demo_videos: Path, tmp_path: Path) -> None:  # noqa: F811
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    done = run_config(demo_config(small_disk / "output", [demo_videos]), tmp_path)
    assert done.returncode
    assert "Traceback" not in done.stdout + done.stderr
    assert f"{small_disk}/output" in done.stderr
    assert "may be written to" in done.stderr
