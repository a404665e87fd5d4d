"""The instance settings that every new project starts with: loaded by a real instance, and meaning what they say."""

import tomllib
from pathlib import Path

import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager

from miner_assets.instance import open_instance, prepare_home, shipped
from miner_resources.errors import NotConfigured
from miner_resources.storage import Storage
from tests.assets.pipelines import dagster_home


def test_a_new_home_has_our_settings_and_dagster_understands_them(tmp_path: Path) -> None:
    with dagster_home(tmp_path), open_instance(Storage(tmp_path)) as instance:
        assert instance.run_monitoring_enabled
        assert instance.run_monitoring_max_runtime_seconds == 172_800
        assert instance.run_retries_enabled
        assert instance.run_retries_max_retries == 1
        assert not instance.run_retries_retry_on_asset_or_op_failure
        assert not instance.nux_enabled
        assert not instance.telemetry_enabled
        limits = instance.get_concurrency_config()
        assert limits.pool_config.default_pool_limit == 1
        assert limits.pool_config.pool_granularity is not None
        assert limits.pool_config.pool_granularity.value == "run"
        pools = {pool.name: pool.limit for pool in instance.event_log_storage.get_pool_limits()}
        assert pools == {"youtube": 1, "decode": 1, "gpu": 1, "registry": 1}, "before the first run asks for one"
        assert limits.run_queue_config is not None
        assert limits.run_queue_config.max_concurrent_runs == 4
        assert list(limits.run_queue_config.tag_concurrency_limits) == [{"key": "dagster/backfill", "limit": 3}]
        kept = instance.get_tick_retention_settings(InstigatorType.SENSOR)
        assert {status.value: days for status, days in kept.items() if status.value != "STARTED"} == {
            "SKIPPED": 1,
            "FAILURE": 30,
            "SUCCESS": 30,
        }
        assert isinstance(instance.compute_log_manager, LocalComputeLogManager)
        log = instance.compute_log_manager.get_captured_local_path(["run", "compute_logs", "step"], "out")
        assert Path(log).is_relative_to(tmp_path / ".dagster" / "storage"), "what a run prints is in the home"


def test_a_limit_that_was_set_stays(tmp_path: Path) -> None:
    with dagster_home(tmp_path):
        with open_instance(Storage(tmp_path)) as instance:
            instance.event_log_storage.set_concurrency_slots("decode", 2)
        with open_instance(Storage(tmp_path)) as instance:
            pools = {pool.name: pool.limit for pool in instance.event_log_storage.get_pool_limits()}
    assert pools["decode"] == 2


def test_settings_that_are_there_are_left_alone(tmp_path: Path) -> None:
    with dagster_home(tmp_path):
        home = prepare_home(Storage(tmp_path))
        (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
        assert prepare_home(Storage(tmp_path)) == home
        assert (home / "dagster.yaml").read_text() == "telemetry: {enabled: false}\n"


def test_a_relative_home_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", "here")
    with pytest.raises(NotConfigured, match="DAGSTER_HOME is here"):
        prepare_home(Storage(tmp_path))


def test_a_wheel_has_the_settings_that_new_projects_begin_with() -> None:
    root = Path(__file__).parents[2]
    build = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    for name in ("dagster.yaml", "workspace.yaml"):
        assert (root / name).is_file()
        assert shipped(name) == root / name, "in a checkout those of the checkout count"
        assert build["force-include"][name] == f"miner_assets/{name}"
