"""Secrets wherever a user can put one, a whole run over them, and a look at everything that it wrote or said."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from miner_assets.cli import app
from tests.assets.explore.conftest import client_of
from tests.internet import PretendInternet, PretendVideo

SECRET = "pLaNtEd"
ENVIRONMENT = (
    "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "DDS_CLOUDAPI_TOKEN", "MOONDREAM_API_KEY", "VIDEO_MINER_TOKEN",
    "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AZURE_STORAGE_KEY", "LABEL_STUDIO_API_KEY", "PGPASSWORD",
    "DAGSTER_POSTGRES_PASSWORD",
)  # fmt: skip
GONE = {"playabilityStatus": {"status": "ERROR", "reason": f"gone https://a:{SECRET}@e.com/?sig={SECRET}"}}


@pytest.fixture
def config(youtube: PretendInternet, tmp_path: Path) -> Path:
    """A project that downloads two videos, one of which fails with words that quote a secret."""
    youtube.videos["gone_______"] = PretendVideo(player={**GONE, "streamingData": {}})
    cookies = tmp_path / "cookies.txt"
    line = f".youtube.com\tTRUE\t/\tTRUE\t2147483647\tLOGIN\t{SECRET}"
    cookies.write_text(f"# Netscape HTTP Cookie File\n{line}\n")
    (tmp_path / "urls.txt").write_text(f"https://user:{SECRET}@media.test/ok/clip.mp4\n")
    watch = "https://www.youtube.com/watch?v="
    values = {
        "output_dir": str(tmp_path / "output"),
        "urls": [f"{watch}fine_______", f"{watch}gone_______"],
        "url_files": [str(tmp_path / "urls.txt")],
        "classes": ["red circle", "blue square", "green triangle", "yellow star"],
        "download": {
            "proxy": youtube.url.replace("//", f"//user:{SECRET}@"),
            "cookies_file": str(cookies),
            "extractor_args": {"youtube": {"po_token": [f"web.gvs+{SECRET}"], "player_client": ["default"]}},
        },
        "pacing": {"youtube_per_hour": 3_600_000, "request_interval": 0},
        "extraction": {"strategy": "time", "seconds": 5.0},
        "filter": {"model": "demo", "threshold": 0.5},
        "dedup": {"model": "demo", "threshold": 0.85},
        "detection": {"detector": "demo"},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(values))
    return tmp_path / "config.yaml"


def said(*arguments: object) -> str:
    """Everything that a command prints, with secrets in its environment."""
    command = [str(Path(sys.executable).parent / "video-miner"), *map(str, arguments)]
    secrets = dict.fromkeys(ENVIRONMENT, SECRET)
    environment = {name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"} | secrets
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)
    return ended.stdout + ended.stderr


def said_here(*arguments: object) -> str:
    """The same without a process of its own."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments]).output


def holding(folder: Path) -> list[str]:
    """Files below a folder that hold the secret, as UTF-8 or UTF-16."""
    forms = [SECRET.encode(), SECRET.encode("utf-16-le")]
    found: list[str] = []
    for path in folder.rglob("*"):
        if path.is_file() and any(form in path.read_bytes() for form in forms):
            found.append(str(path.relative_to(folder)))
    return found


@pytest.mark.slow
def test_secrets_are_nowhere_in_what_a_run_says_or_writes(
    config: Path, youtube: PretendInternet, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = config.parent / "output"
    spoken = said("run-config", config, "--verbose")
    assert "1 of 3 succeeded" in spoken, spoken
    assert any(SECRET in (seen.cookie or "") for seen in youtube.seen), "the cookie was used"
    for name in ENVIRONMENT:
        monkeypatch.setenv(name, SECRET)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    destination = f"unknown://key:{SECRET}@bucket/x?token={SECRET}"
    spoken += said_here("dataset", "export", "--format", "yolo", destination, "-O", output)
    spoken += said_here(
        "dataset", "rebuild", f"unknown://key:{SECRET}@bucket/manifest", config.parent / "again", "-O", output
    )
    for command in (["registry", "status"], ["registry", "list"], ["registry", "list", "--format", "json"], ["doctor"]):
        spoken += said_here(*command, "-O", output)
    spoken += said_here("validate-config", config, "-o", f"urls=['https://user:{SECRET}@e.com/v.mp4']")
    spoken += said_here("validate-config", config, "-o", f"download.proxy=nonsense://user:{SECRET}@e.com")
    spoken += said_here("validate-config", config, "-o", f"download.extractor_args.youtube=token-{SECRET}")
    assert SECRET not in spoken
    assert "bucket" in spoken
    assert holding(output) == []
    assert (output / "registry.duckdb").exists()
    assert list((output / ".dagster").rglob("*.db")), "Dagster's own records were looked at"
    remembered = yaml.safe_load((output / "config.yaml").read_text())["download"]
    assert remembered["extractor_args"] == {"youtube": {"player_client": ["default"]}}
    assert remembered["proxy"] is None
    client = client_of(output)
    for page in ("/", "/videos", "/video/fine_______", "/funnel", "/charts"):
        assert SECRET not in client.get(page).text


def test_the_search_would_find_a_secret(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(b"\0" + SECRET.encode() + b"\0")
    assert holding(tmp_path) == ["x.bin"]
