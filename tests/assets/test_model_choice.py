"""Choices about models: the filter's as embedder, several by preference, the presence gate, overlapping classes."""

import json
import shutil
from pathlib import Path

import huggingface_hub.constants as hub_constants
import polars as pl
import pytest
from typer.testing import CliRunner

from miner_assets.cli import app
from miner_assets.commands.mine import check_models
from miner_assets.model_choice import chosen_model, model_identity, possible_models
from miner_assets.pipeline_run import PipelineRun
from miner_resources.config import MinerConfig
from miner_resources.config_files import load_config
from miner_resources.errors import ConfigError
from miner_resources.models.catalogue import CHECKPOINTS, DETECTION, EMBEDDING
from miner_resources.models.sources import default_threshold, resolve
from miner_resources.records import Stage
from miner_resources.storage import Storage
from miner_resources.tables import read_metadata, read_table
from tests.assets.pipelines import computed, demo_config, model_loads, run
from tests.models.hub_server import SHA, HubServer
from tests.models.tiny_checkpoints import build_dinov2
from tests.shared_data import REPOSITORY

Mined = tuple[MinerConfig, PipelineRun]


@pytest.fixture
def copy(mined: Mined, tmp_path: Path) -> MinerConfig:
    """A copy of the mined project that may be changed."""
    target = tmp_path / "output"
    shutil.copytree(mined[0].output_dir, target)
    return mined[0].model_copy(update={"output_dir": target})


def changed(config: MinerConfig, section: str, **values: object) -> MinerConfig:
    return config.model_copy(update={section: getattr(config, section).model_copy(update=values)})


def boxes(config: MinerConfig) -> pl.DataFrame:
    return pl.concat([read_table(path) for path in sorted((config.output_dir / "detections").glob("*.parquet"))])


def test_the_filters_own_model_embeds_without_being_run_again(copy: MinerConfig) -> None:
    again, loads = model_loads(changed(copy, "dedup", model="siglip", threshold=0.999))
    assert again.ok
    assert "embed" not in computed(again) or loads <= 1, "only the detector may be loaded, for frames that are new"
    storage = Storage(copy.output_dir)
    for path in sorted((copy.output_dir / "embeddings").glob("*.parquet")):
        vectors = read_table(path)
        features = read_table(storage.filtered_frames(path.stem) / "features.parquet")
        both = vectors.join(features, on="frame_index", how="left")
        assert both["embedding"].to_list() == both["feature"].to_list()
        assert len(vectors) > 0


def test_the_filters_features_are_what_the_embedder_would_compute(copy: MinerConfig) -> None:
    run(changed(copy, "dedup", model="siglip", threshold=0.999))
    table = sorted((copy.output_dir / "embeddings").glob("*.parquet"))[0]
    stored = read_table(table)
    done, loads = model_loads(changed(copy, "dedup", model="siglip", threshold=0.999, force=True))
    assert done.ok
    assert loads >= 1
    assert read_table(table)["embedding"].to_list() == stored["embedding"].to_list()


def test_the_way_of_resizing_is_part_of_what_was_computed(copy: MinerConfig) -> None:
    again = run(changed(copy, "dedup", resize="pad"))
    assert again.stages[Stage.EMBED].computed == 4
    assert computed(run(changed(copy, "dedup", resize="pad"))) == {}


def test_the_siglip_alias_follows_the_filter() -> None:
    config = load_config((), ["filter.model=demo", "dedup.model=siglip"])
    assert chosen_model(config, Stage.EMBED, "siglip") == str(CHECKPOINTS / "siglip")
    other = load_config((), ["filter.model=siglip2-base", "dedup.model=siglip"])
    assert chosen_model(other, Stage.EMBED, "siglip") == "google/siglip2-base-patch16-224"
    assert [name for _, _, name, _ in possible_models(other)] == ["siglip2-base", "grounding-dino"]


def test_of_several_models_the_first_that_is_here_is_meant(
    checkpoints_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    local = str(checkpoints_folder)
    config = load_config((), [])
    assert chosen_model(config, Stage.EMBED, f"dinov2-base, {local}") == local
    assert chosen_model(config, Stage.EMBED, "dinov3-base, dinov2-base") == "dinov3-base"
    assert model_identity(config, Stage.EMBED, f"dinov2-base, {local}") == model_identity(config, Stage.EMBED, local)
    names = [name for _, _, name, _ in possible_models(changed(config, "dedup", model="dinov3-base, dinov2-base"))]
    assert names == ["siglip2-so400m", "dinov3-base", "dinov2-base", "grounding-dino"]


@pytest.fixture
def checkpoints_folder() -> Path:
    return CHECKPOINTS / "dinov2"


def test_a_run_takes_the_first_model_that_can_be_had(
    demo_videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", True)
    config = demo_config(tmp_path / "output", [sorted(demo_videos.glob("*.mp4"))[0]], "dedup.model=dinov2-base, demo")
    assert run(config).ok
    assert computed(run(demo_config(config.output_dir, config.urls, "dedup.model=demo"))) == {}


def test_a_project_stays_with_the_commit_that_it_began_with(
    demo_videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_dinov2(tmp_path / "weights")
    video = sorted(demo_videos.glob("*.mp4"))[0]
    config = demo_config(
        tmp_path / "output", [video], "dedup.model=dinov2-small", "stages=[search,download,extract,filter,embed]"
    )
    with HubServer({"facebook/dinov2-small": tmp_path / "weights"}).running() as hub:
        with hub.in_use(monkeypatch, tmp_path / "cache"):
            assert run(config).ok
            pins = json.loads((config.output_dir / "model_revisions.json").read_text())
            assert pins == {"facebook/dinov2-small": SHA}
            assert computed(run(config)) == {}, "the pin is part of the key that the first run wrote"
        hub.sha = "f" * 40
        hub.requests.clear()
        with hub.in_use(monkeypatch, tmp_path / "another cache"):
            assert run(changed(config, "dedup", force=True)).ok
        assert any(f"/resolve/{SHA}/" in request for request in hub.requests)
        assert not any("/main/" in request or "f" * 40 in request for request in hub.requests)


@pytest.mark.parametrize("name", ["dinov2-base@" + "a" * 40, "facebook/dinov2-base@" + "a" * 40])
def test_a_commit_can_be_given(name: str) -> None:
    source = resolve(name, EMBEDDING)
    assert (source.location, source.revision) == ("facebook/dinov2-base", "a" * 40)
    assert chosen_model(load_config((), []), Stage.EMBED, name, fetch=True) == name


def test_a_class_is_asked_for_only_where_the_filter_saw_it(copy: MinerConfig) -> None:
    everywhere = boxes(copy)
    gated = changed(copy, "detection", presence_gate=0.5)
    assert run(gated).ok
    scores = pl.concat([read_table(path) for path in sorted(copy.output_dir.glob("frames_filtered/*/scores.parquet"))])
    seen = scores.explode("classes", "scores").filter(pl.col("scores") >= 0.5)
    here = boxes(gated)
    sure = pl.col("score") >= 0.3
    present = seen.select("video_id", "frame_index", category="classes")
    assert here.join(present, on=["video_id", "frame_index", "category"], how="anti").is_empty()
    expected = everywhere.filter(sure).join(present, on=["video_id", "frame_index", "category"], how="semi")
    assert len(here.filter(sure)) >= 0.95 * len(expected) > 0
    assert computed(run(gated)) == {}


def test_only_frames_that_are_asked_for_other_classes_are_looked_at_again(copy: MinerConfig) -> None:
    run(changed(copy, "detection", presence_gate=0.5))
    tables = sorted((copy.output_dir / "detections").glob("*.parquet"))
    asked = {path.stem: json.loads(read_metadata(path)["video_miner.frames"]) for path in tables}
    assert any(len(classes) < 4 for frames in asked.values() for classes in frames.values())
    run(changed(copy, "detection", presence_gate=None))
    whole = {path.stem: json.loads(read_metadata(path)["video_miner.frames"]) for path in tables}
    assert all(classes == [0, 1, 2, 3] for frames in whole.values() for classes in frames.values())
    again, loads = model_loads(changed(copy, "detection", presence_gate=0.0))
    assert loads == 0, "a gate of nothing asks for everything: no frame is new"
    assert again.stages[Stage.DETECT].computed == 4


def test_boxes_of_different_classes_on_one_object_can_be_made_one(copy: MinerConfig) -> None:
    def annotations(config: MinerConfig) -> int:
        run(config)
        return len(json.loads((config.output_dir / "detections" / "annotations.json").read_text())["annotations"])

    low = changed(copy, "detection", confidence_threshold=0.05)
    every = annotations(low)
    done, loads = model_loads(changed(low, "detection", class_agnostic_nms=0.5))
    assert loads == 0
    assert done.stages[Stage.DETECT].computed == 0
    assert annotations(changed(low, "detection", class_agnostic_nms=0.5)) <= every


def test_services_that_cannot_be_used_are_refused_before_the_work_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DDS_CLOUDAPI_TOKEN", raising=False)
    command = [
        "run-config",
        str(REPOSITORY / "configs/examples/demo-models.yaml"),
        "-o",
        f"output_dir={tmp_path / 'output'}",
    ]
    refused = CliRunner().invoke(app, [*command, "-o", "detection.detector=dino-x"])
    assert refused.exit_code == 2
    assert "DDS_CLOUDAPI_TOKEN is not set" in refused.output
    assert not (tmp_path / "output").exists()


def test_of_several_detectors_a_service_without_a_key_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    config = load_config((), ["detection.detector='dino-x, demo'"])
    monkeypatch.delenv("DDS_CLOUDAPI_TOKEN", raising=False)
    assert chosen_model(config, Stage.DETECT, config.detection.detector) == "demo"
    check_models(config.model_copy(update={"stages": [Stage.DETECT]}))
    monkeypatch.setenv("DDS_CLOUDAPI_TOKEN", "key")
    assert chosen_model(config, Stage.DETECT, config.detection.detector) == "dino-x"


def test_the_filters_own_model_embeds_after_a_run_that_kept_nothing(demo_videos: Path, tmp_path: Path) -> None:
    video = sorted(demo_videos.glob("*.mp4"))[0]
    stages = "stages=[search,download,extract,filter,embed]"
    nothing = demo_config(tmp_path / "output", [video], stages, "dedup.model=siglip", "filter.threshold=1.0")
    assert run(nothing).ok
    done = run(changed(nothing, "filter", threshold=0.5))
    assert done.ok, done.failures
    assert len(read_table(next((tmp_path / "output" / "embeddings").glob("*.parquet")))) > 0


def test_boxes_say_which_model_found_them(copy: MinerConfig) -> None:
    assert run(changed(copy, "detection", detector="demo, owlv2", force=True)).ok
    assert set(boxes(copy)["detector"]) == {"demo"}


@pytest.mark.parametrize(
    ("names", "task", "threshold"),
    [
        ("owlv2", DETECTION, 0.2),
        ("owlv2@" + "a" * 40, DETECTION, 0.2),
        ("google/owlv2-base-patch16-ensemble@" + "a" * 40, DETECTION, 0.2),
        ("siglip2-base@" + "a" * 40, EMBEDDING, 0.95),
        ("dinov3-base, dinov2-base", EMBEDDING, 0.9),
        ("florence2", DETECTION, 0.0),
    ],
)
def test_auto_is_the_threshold_of_the_model(names: str, task: str, threshold: float) -> None:
    assert default_threshold(names, task) == threshold


@pytest.mark.parametrize("names", ["florence2, owlv2", "sam3, owlv2"])
def test_auto_needs_models_that_agree(names: str) -> None:
    with pytest.raises(ConfigError, match="different thresholds"):
        load_config((), [f"detection.detector='{names}'", "detection.confidence_threshold=auto"])
