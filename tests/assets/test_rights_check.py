"""A dataset that would violate the rights policy is refused, and the one that is there stays."""

from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from miner_assets.graph import build_definitions
from miner_assets.workspace import Workspace
from miner_resources.config import MinerConfig
from miner_resources.errors import InvalidData
from miner_resources.storage import Storage
from miner_resources.video_facts import read_facts, write_facts
from miner_resources.web.rights import violation
from tests.assets.pipelines import demo_config, digests, run
from tests.internet import CC


@pytest.fixture
def mined_web(demo_videos: Path, tmp_path: Path) -> MinerConfig:
    """Two mined videos, whose facts say that they came from the web, one of them under Creative Commons."""
    videos = sorted(demo_videos.glob("*.mp4"))[:2]
    config = demo_config(tmp_path / "output", videos)
    run(config)
    storage = Storage(config.output_dir)
    for place, video in enumerate(Workspace.open(config).catalog.videos()):
        facts = read_facts(storage, video.video_id)
        assert facts is not None
        web = replace(facts.video, url=f"https://youtu.be/{video.video_id}", license=None if place else CC)
        write_facts(storage, replace(facts, video=web))
    return config


def build(config: MinerConfig, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    job = build_definitions(Workspace.open(config)).resolve_job_def("build_dataset")
    return job.execute_in_process(instance=instance, raise_on_error=False)


def with_rights(config: MinerConfig, policy: str) -> MinerConfig:
    return MinerConfig.model_validate({**config.model_dump(), "rights": policy})


def test_the_check_blocks_and_names_the_videos(mined_web: MinerConfig) -> None:
    before = digests(mined_web.output_dir)
    with dg.instance_for_test() as instance:
        refused = build(with_rights(mined_web, "cc"), instance)
        assert not refused.success
        (check,) = (each for each in refused.get_asset_check_evaluations() if each.asset_key.path == ["dataset"])
        assert (check.check_name, check.passed, check.metadata["violations"].value) == ("rights", False, 1)
        (row,) = check.metadata["videos"].records
        assert "not stated" in row.data["why"]
        assert refused.asset_materializations_for_node("dataset") == []
        assert digests(mined_web.output_dir) == before
        allowed = build(with_rights(mined_web, "any"), instance)
        assert allowed.success
        checks = {check.check_name: check.passed for check in allowed.get_asset_check_evaluations()}
        assert checks == {"adds_up": True, "rights": True, "splits_do_not_leak": True, "valid": True}


def test_the_command_line_says_which_and_what_to_do(mined_web: MinerConfig) -> None:
    with pytest.raises(InvalidData, match=r"1 videos violate the policy `rights: cc`") as caught:
        run(with_rights(mined_web, "cc"))
    assert "registry remove" in caught.value.remedy


def test_local_files_are_the_users_own(mined: tuple[MinerConfig, object]) -> None:
    for video in Workspace.open(mined[0]).catalog.videos():
        assert violation(video, "cc") is None
        assert violation(video, "trainable") is None


@pytest.mark.parametrize(
    ("policy", "license", "trainable", "allowed"),
    [
        ("any", None, None, True),
        ("cc", CC, None, True),
        ("cc", "Standard YouTube License", None, False),
        ("cc", None, "all", False),
        ("trainable", None, "all", True),
        ("trainable", CC, None, False),
        ("trainable", None, "none", False),
        ("trainable", None, "acme", False),
    ],
)
def test_what_nobody_knows_is_not_allowed(
    policy: str, license: str | None, trainable: str | None, allowed: bool, mined: tuple[MinerConfig, object]
) -> None:
    video = Workspace.open(mined[0]).catalog.videos()[0]
    web = replace(video, url="https://youtu.be/x", license=license, trainable=trainable)
    assert (violation(web, policy) is None) is allowed  # pyright: ignore[reportArgumentType]
