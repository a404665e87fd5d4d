"""The command line: what it prints, writes, and its exit codes."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
import yaml
from typer.main import get_command
from typer.testing import CliRunner

from miner_assets.cli import app
from miner_assets.pipeline_run import PipelineRun
from miner_resources.config import MinerConfig
from tests.assets.pipelines import demo_config
from tests.loopback import MediaServer
from tests.video_factory import write_video

SLOW_TO_IMPORT = {"torch", "dagster", "transformers", "polars", "numpy", "duckdb", "omegaconf", "av", "PIL", "yt_dlp"}
COMMAND = Path(sys.executable).with_name("video-miner")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    for name in ("DAGSTER_HOME", "VIDEO_MINER_CONFIG", "VIDEO_MINER_OUTPUT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    before = dict(os.environ)
    yield
    for name in set(os.environ) - set(before):
        del os.environ[name]


def video_miner(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "nanobind" not in done.stderr
    return done


def invoke(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.output


def write_config(folder: Path, **values: object) -> Path:
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def commands() -> list[str]:
    root = get_command(app)
    found = []
    for name, command in root.commands.items():  # pyright: ignore
        nested = getattr(command, "commands", None)
        found += [f"{name} {inner}" for inner in nested] if nested else [name]
    return found


@pytest.mark.parametrize("command", commands())
def test_every_command_has_help_with_an_example(command: str) -> None:
    text = invoke(*command.split(), "--help")
    assert f"video-miner {command}" in " ".join(text.replace("\n", " ").split())


def test_help_imports_nothing_that_takes_long() -> None:
    """Of the program and of every command, in a process that has imported nothing yet."""
    code = f"""
import sys
from typer.testing import CliRunner
from miner_assets.cli import app
for command in {["", *commands()]!r}:
    assert CliRunner().invoke(app, [*command.split(), "--help"]).exit_code == 0, command
print(*sorted({SLOW_TO_IMPORT!r} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=100)
    assert done.stdout.split() == [], "import these inside of the functions that need them"


def test_version() -> None:
    assert re.fullmatch(r"video-miner \d+\.\d+\.\d+\n", invoke("--version"))


def test_wrong_usage_exits_2(tmp_path: Path) -> None:
    invoke("run-config", code=2)
    invoke("no-such-command", code=2)
    invoke("registry", "list", "--status", "nonsense", "--output", tmp_path, code=2)
    assert not list(tmp_path.iterdir()), "nothing was touched"


def test_validate_config_prints_every_problem(tmp_path: Path) -> None:
    path = write_config(tmp_path, filtr={}, filter={"threshold": 2}, detection={"detector": "owlv3"})
    done = video_miner("validate-config", path, "-o", "device=gpu", code=2)
    for part in ("filtr: unknown key (did you mean 'filter'?)", "filter.threshold: 2", "device: 'gpu'"):
        assert part in done.stderr
    good = write_config(tmp_path, filter={"model": "demo"}, dedup={"model": "demo"}, detection={"detector": "demo"})
    assert "ok" in invoke("validate-config", good)


def test_a_model_that_does_not_exist_is_refused_before_anything_is_touched(tmp_path: Path) -> None:
    path = write_config(tmp_path, output_dir=str(tmp_path / "out"), detection={"detector": "owlv3"})
    done = video_miner("run-config", path, code=2)
    assert "detection.detector" in done.stderr
    assert "owlv2" in done.stderr
    assert not (tmp_path / "out").exists()


def test_show_config_is_yaml_that_reads_back(tmp_path: Path) -> None:
    shown = invoke("show-config", write_config(tmp_path, classes=["cat"]), "-o", "filter.threshold=0.4")
    again = tmp_path / "again.yaml"
    again.write_text(shown)
    assert yaml.safe_load(invoke("show-config", again)) == yaml.safe_load(shown)
    assert yaml.safe_load(shown)["filter"]["threshold"] == 0.4


def test_run_config_from_web_to_dataset_then_nothing_to_do(demo_videos: Path, tmp_path: Path) -> None:
    """A video served over HTTP, a broken one, and one that is not there: exit code 1, and each has its reason."""
    served = tmp_path / "served"
    served.mkdir()
    (served / "good.mp4").write_bytes((demo_videos / "demo_00.mp4").read_bytes())
    (served / "broken.mp4").write_bytes(b"\0" * 5000)
    output = tmp_path / "my output, it's here"
    with MediaServer(served).running() as server:
        urls = [f"{server.url}/ok/good.mp4", f"{server.url}/ok/broken.mp4", f"{server.url}/404/gone.mp4"]
        config = demo_config(output, [])
        values = yaml.safe_load(invoke("show-config", write_config(tmp_path), "-o", f"urls={json.dumps(urls)}"))
        values |= {"output_dir": str(output), "classes": list(config.classes), "extraction": {"max_frames": 4}}
        values["filter"] |= {"model": "demo"}
        values["dedup"] |= {"model": "demo"}
        values["detection"] |= {"detector": "demo"}
        path = write_config(tmp_path, **values)
        done = video_miner("run-config", path, code=1)
        assert "What failed, and what to do" in done.stdout
        first = json.loads((output / "pipeline_result.json").read_text())
        requests = len(server.requests)
        again = video_miner("run-config", path, code=1)
        assert "No work was done" in again.stdout
        assert server.requests[requests:] == ["/404/gone.mp4"], "what is known is not asked for again"
    assert first["videos"] == {"total": 3, "succeeded": 1, "failed": 2, "skipped": 0}
    assert {error["source"].rsplit("/", 1)[-1]: error["stage"] for error in first["errors"]} == {
        "gone.mp4": "search",
        "broken.mp4": "download",
    }
    assert all(error["message"] and error["remedy"] for error in first["errors"])
    assert (output / "videos" / "generic-good.mp4").read_bytes() == (served / "good.mp4").read_bytes()
    second = json.loads((output / "pipeline_result.json").read_text())
    assert not any(stage["computed"] for stage in second["stages"].values())
    assert second["config_hash"] == first["config_hash"]


def test_result_has_the_fields_of_the_contract(mined: tuple[MinerConfig, PipelineRun], tmp_path: Path) -> None:
    from miner_assets.result import build_result
    from miner_assets.workspace import Workspace

    config, run = mined
    result = build_result(Workspace.open(config), run)
    assert set(result) == {
        "version",
        "config_hash",
        "started_at",
        "finished_at",
        "videos",
        "frames",
        "annotations",
        "stages",
        "errors",
        "waiting",
        "skipped",
        "left_out_by_filters",
    }
    assert list(result["stages"]) == list(config.stages)  # pyright: ignore
    frames = result["frames"]
    assert isinstance(frames, dict)
    assert frames["extracted"] > frames["filtered"] > frames["unique_in_video"] >= frames["unique"] > 0  # pyright: ignore


def test_dry_run_changes_nothing(demo_videos: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    path = write_config(
        tmp_path,
        output_dir=str(output),
        urls=[str(demo_videos)],
        filter={"model": "demo"},
        dedup={"model": "demo"},
        detection={"detector": "demo"},
    )
    assert "every stage would run" in invoke("run-config", path, "--dry-run")
    assert not output.exists()


def test_registry_and_keywords(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a film.mp4", frames=3)
    urls = tmp_path / "urls.txt"
    urls.write_text(f"# mine\n{video}\n{tmp_path / 'none.mp4'}\n")
    project = ("--output", tmp_path / "project")
    text = invoke("registry", "import", urls, *project, code=1)
    assert "1 videos added" in text
    assert "none.mp4 does not exist" in text
    assert "1 videos" in invoke("registry", "status", *project)
    (row,) = json.loads(invoke("registry", "list", *project, "--format", "json"))
    assert (row["title"], row["status"]) == ("a film", "pending")
    header, line = invoke("registry", "list", *project, "--format", "csv", "--status", "pending").splitlines()
    assert header.startswith("video_id,status,title")
    assert line.startswith(f"{row['video_id']},pending,a film")
    exported = tmp_path / "exported.txt"
    invoke("registry", "export", "-O", tmp_path / "project", "--output", exported)
    assert exported.read_text() == f"{video}\n"
    (tmp_path / "project" / "registry.duckdb").unlink()
    assert "1 videos" in invoke("registry", "rebuild", *project)
    invoke("keywords", "add", "red car", "blue car", "--max-results", "7", *project)
    assert "blue car" in invoke("keywords", "list", *project)
    invoke("keywords", "remove", "blue car", *project)
    invoke("keywords", "remove", "blue car", *project, code=1)
    assert "1 videos removed" in invoke("registry", "remove", row["video_id"], "--yes", *project)
    assert "0 videos added" in invoke("registry", "import", urls, *project, code=1), "a removed video stays removed"


def test_doctor_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    text = invoke("doctor", "--output", tmp_path)
    assert "ok   Python 3" in text
    assert "JavaScript runtime" in text
    assert "→" in text, "the default models are not downloaded here"


def test_models_list_shows_licence_and_threshold() -> None:
    text = invoke("models", "list")
    assert "siglip2-so400m" in text
    assert "Apache-2.0" in text
