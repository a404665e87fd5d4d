"""The launchpad shows the configuration's own fields, and the assets run from Dagster with overrides."""

from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from miner_assets.graph import build_definitions
from miner_assets.instance import open_instance
from miner_assets.launchpad import launchpad_schema, with_overrides
from miner_assets.pipeline_run import PipelineRun
from miner_assets.search import register_inputs
from miner_assets.workspace import Workspace
from miner_resources.config import MinerConfig
from miner_resources.config_sections import (
    DatasetConfig,
    DedupConfig,
    DetectionConfig,
    DownloadConfig,
    ExtractionConfig,
    FilterConfig,
    SearchConfig,
)
from miner_resources.errors import ConfigError
from tests.assets.pipelines import dagster_home, demo_config

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
SECTIONS = (
    SearchConfig,
    DownloadConfig,
    ExtractionConfig,
    FilterConfig,
    DedupConfig,
    DetectionConfig,
    DatasetConfig,
)


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_every_field_is_in_the_launchpad_and_optional(section: type) -> None:
    schema = launchpad_schema(section)
    assert set(schema) == set(section.model_fields)
    assert not any(field.is_required for field in schema.values())
    assert all(field.description for field in schema.values())


def test_a_run_overrides_only_what_it_names() -> None:
    base = FilterConfig(model="demo", threshold=0.4)
    assert with_overrides(base, {"threshold": 0.7}, "filter") == FilterConfig(model="demo", threshold=0.7)
    assert with_overrides(base, {"batch_size": "16"}, "filter").batch_size == 16
    with pytest.raises(ConfigError, match=r"filter\.threshold: 7 is not allowed"):
        with_overrides(base, {"threshold": 7}, "filter")


RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")


@pytest.mark.parametrize("count", [1, 2])
def test_partitions_run_through_the_job_of_all_stages(demo_videos: Path, tmp_path: Path, count: int) -> None:
    """As "Materialize" on one partition, the sensor, and a backfill of the job do it: stage after stage in one run."""
    config = demo_config(tmp_path / "output", [demo_videos / f"demo_{number:02d}.mp4" for number in range(count)])
    workspace = Workspace.open(config)
    with dagster_home(config.output_dir), open_instance(workspace.storage) as instance:
        ids = register_inputs(workspace).video_ids
        instance.add_dynamic_partitions("videos", ids)
        job = build_definitions(workspace).resolve_job_def("mine_videos")
        settings = {"ops": {"filtered_frames": {"config": {"threshold": 1.0}}}}
        tags = dict(zip(RANGE, (ids[0], ids[-1]), strict=True))
        result = job.execute_in_process(instance=instance, tags=tags, run_config={**settings, **QUIET})
        assert result.success
        for asset in ("videos", "frames", "filtered_frames", "embeddings", "detections"):
            assert instance.get_materialized_partitions(dg.AssetKey(asset)) == set(ids)
        for video_id in ids:
            records = instance.fetch_materializations(
                dg.AssetRecordsFilter(dg.AssetKey("filtered_frames"), asset_partitions=[video_id]), limit=10
            ).records
            assert len(records) == 1
            metadata = records[0].asset_materialization.metadata
            assert metadata["rows"].value == len(pl.read_parquet(workspace.storage.scores_table(video_id)))
            assert video_id in str(metadata["sample"].value)
    for video_id in ids:
        scores = pl.read_parquet(workspace.storage.scores_table(video_id))
        assert not scores["kept"].any(), "the launchpad's threshold was used"


def test_a_failed_video_fails_the_step_and_says_why(tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"")
    config = demo_config(tmp_path / "output", [broken])
    workspace = Workspace.open(config)
    with dagster_home(config.output_dir), open_instance(workspace.storage) as instance:
        (video_id,) = register_inputs(workspace).video_ids
        instance.add_dynamic_partitions("videos", [video_id])
        job = build_definitions(workspace).resolve_implicit_global_asset_job_def()
        with pytest.raises(dg.Failure) as caught:
            job.execute_in_process(
                instance=instance, asset_selection=[dg.AssetKey("videos")], partition_key=video_id, run_config=QUIET
            )
    assert caught.value.description == "1 of 1 videos failed in download"
    (row,) = caught.value.metadata["failures"].records
    assert row.data["video"] == video_id
    assert "is empty (0 bytes)" in row.data["error"]


def test_definitions_are_those_of_the_contract(mined: tuple[MinerConfig, PipelineRun]) -> None:
    definitions = build_definitions(Workspace.open(mined[0]))
    keys = {key.to_user_string() for key in definitions.resolve_asset_graph().get_all_asset_keys()}
    assert keys == {
        "search_results",
        "videos",
        "frames",
        "filtered_frames",
        "embeddings",
        "detections",
        "unique_frames",
        "dataset",
    }
    names = {job.name for job in definitions.resolve_all_job_defs()}
    assert {"mine_videos", "build_dataset"} <= names
    repository = definitions.get_repository_def()
    assert {sensor.name for sensor in repository.sensor_defs} >= {"new_keywords", "new_videos"}
    assert {schedule.name for schedule in repository.schedule_defs} == {"refresh_searches"}
    groups = {spec.group_name for spec in definitions.resolve_all_asset_specs()}
    assert groups == {"acquisition", "curation", "labelling", "dataset"}
