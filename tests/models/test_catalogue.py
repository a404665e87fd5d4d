"""Names to sources: the table, near misses, planned models, folders and hub ids; and that it is quick to import."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from miner_resources.errors import InvalidData, NotConfigured, NotFound
from miner_resources.models import sources
from miner_resources.models.catalogue import CATALOGUE, DETECTION, EMBEDDING, TEXT_IMAGE, ModelEntry, names
from miner_resources.models.checkpoints import content_hash, is_complete
from miner_resources.models.page import refreshed
from miner_resources.models.sources import FAMILIES, SERVICES, candidates, default_threshold, resolve

TASKS = (TEXT_IMAGE, EMBEDDING, DETECTION)


def test_rows_are_unique_and_have_one_source_each():
    assert len({(entry.name, entry.task) for entry in CATALOGUE}) == len(CATALOGUE)
    assert all(sum(map(bool, (entry.hub_id, entry.folder, entry.service))) == 1 for entry in CATALOGUE)
    assert all(entry.licence and entry.licence_url for entry in CATALOGUE)


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_a_demo_model(task):
    assert "demo" in names(task)


@pytest.mark.parametrize("entry", [entry for entry in CATALOGUE if entry.hub_id], ids=lambda entry: entry.name)
def test_hub_rows_resolve_by_name_and_by_id_to_the_same_identity(entry):
    by_name, by_id = resolve(entry.name, entry.task), resolve(entry.hub_id, entry.task)
    assert (by_name.location, by_name.family) == (entry.hub_id, entry.family)
    assert by_name.identity == by_id.identity
    assert entry.hub_id in by_name.identity


@pytest.mark.parametrize(
    ("name", "task", "hint"),
    [
        ("siglip2-so400", TEXT_IMAGE, "siglip2-so400m"),
        ("dinov2base", EMBEDDING, "dinov2-base"),
        ("owl2", DETECTION, "owlv2"),
        ("grounding_dino", DETECTION, "grounding-dino"),
    ],
)
def test_a_near_miss_names_what_was_meant(name, task, hint):
    with pytest.raises(NotFound) as caught:
        resolve(name, task)
    assert f"did you mean '{hint}'" in caught.value.remedy
    assert all(known in caught.value.remedy for known in names(task))


@pytest.mark.parametrize("name", ["something-else", "./missing/folder", "/missing/folder", "a/b/c", ""])
def test_what_is_neither_name_nor_folder_nor_hub_id_is_not_found(name):
    with pytest.raises(NotFound, match="there is no"):
        resolve(name, TEXT_IMAGE)


def test_a_name_wins_over_a_folder_of_that_name(tmp_path, monkeypatch):
    (tmp_path / "grounding-dino").mkdir()
    monkeypatch.chdir(tmp_path)
    assert resolve("grounding-dino", DETECTION).location == "IDEA-Research/grounding-dino-base"


@pytest.mark.parametrize("entry", [entry for entry in CATALOGUE if entry.service], ids=lambda entry: entry.name)
def test_services_need_no_weights(entry):
    source = resolve(entry.name, DETECTION)
    assert source.is_service
    assert source.family == entry.family
    assert entry.name in source.identity


def test_every_row_has_an_adapter():
    known = {(family, task) for (_, task), family in FAMILIES.items()} | {(name, DETECTION) for name in SERVICES}
    assert {(entry.family, entry.task) for entry in CATALOGUE} <= known


@pytest.mark.parametrize(
    ("name", "task", "threshold"),
    [
        ("siglip2-so400m", TEXT_IMAGE, 0.25),
        ("dinov2-base", EMBEDDING, 0.90),
        ("dinov3-base, dinov2-base", EMBEDDING, 0.90),
        ("siglip", EMBEDDING, 0.95),
        ("siglip2-base", EMBEDDING, 0.95),
        ("grounding-dino", DETECTION, 0.3),
        ("owlv2", DETECTION, 0.2),
        ("florence2", DETECTION, 0),
        ("org/unknown", DETECTION, 0.3),
    ],
)
def test_every_model_has_a_threshold_to_start_from(name, task, threshold):
    assert default_threshold(name, task) == threshold


def test_folders_start_from_the_threshold_of_their_family(checkpoints):
    assert default_threshold(str(checkpoints.owlv2), DETECTION) == 0.2
    assert default_threshold(str(checkpoints.siglip), EMBEDDING) == 0.95
    assert default_threshold(str(checkpoints.siglip), TEXT_IMAGE) == 0.25


def test_several_names_are_separated_by_commas():
    assert candidates("dinov3-base, dinov2-base,") == ["dinov3-base", "dinov2-base"]
    assert candidates("dinov2-base") == ["dinov2-base"]
    assert candidates("") == [""]


def test_a_filter_model_serves_as_embedder():
    source = resolve("siglip2-base", EMBEDDING)
    assert (source.family, source.task) == ("siglip", EMBEDDING)
    assert source.identity == resolve("siglip2-base", TEXT_IMAGE).identity


def test_an_unknown_hub_id_waits_for_its_config():
    source = resolve("org/name", EMBEDDING)
    assert (source.location, source.family) == ("org/name", "")


def test_a_folder_is_known_by_its_contents(checkpoints, tmp_path):
    original = resolve(str(checkpoints.siglip), TEXT_IMAGE)
    copy = tmp_path / "copy"
    shutil.copytree(checkpoints.siglip, copy)
    assert original.family == "siglip"
    assert resolve(str(copy), TEXT_IMAGE).identity == original.identity
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    assert resolve(str(copy), TEXT_IMAGE).identity != original.identity


def test_changed_preprocessing_changes_the_identity_and_other_files_do_not(checkpoints, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(checkpoints.dinov2, copy)
    before = content_hash(copy)
    (copy / "README.md").write_text("words")
    assert content_hash(copy) == before
    settings = copy / "preprocessor_config.json"
    settings.write_text(settings.read_text().replace("0.485", "0.5"))
    assert content_hash(copy) != before


def test_a_relative_folder_gets_an_absolute_location(checkpoints, monkeypatch):
    monkeypatch.chdir(checkpoints.siglip.parent)
    assert resolve("./siglip", TEXT_IMAGE).location == str(checkpoints.siglip)


@pytest.mark.parametrize(
    ("config", "error", "words"),
    [
        (None, InvalidData, "holds no model"),
        ("{", InvalidData, "holds no model"),
        ("[]", InvalidData, "holds no model"),
        ("{}", InvalidData, "no model_type"),
        ('{"model_type": "bert"}', NotConfigured, "type 'bert'"),
        ('{"model_type": "dinov2"}', NotConfigured, "give a model of type siglip"),
    ],
    ids=["no config", "broken", "a list", "no type", "foreign", "of another task"],
)
def test_folders_that_cannot_be_used_say_why(tmp_path, config, error, words):
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    with pytest.raises(error, match=words):
        resolve(str(tmp_path), TEXT_IMAGE)


def test_missing_bundled_weights_are_no_riddle(monkeypatch, tmp_path):
    row = ModelEntry(
        name="demo",
        task=TEXT_IMAGE,
        family="siglip",
        licence="Apache-2.0",
        input_size=64,
        scores="sigmoid",
        default_threshold=0.5,
        licence_url="",
        folder=tmp_path / "gone",
    )
    monkeypatch.setattr(sources, "CATALOGUE", (row,))
    with pytest.raises(NotConfigured, match=r"bundled weights .* are missing"):
        resolve("demo", TEXT_IMAGE)


def test_completeness_looks_at_every_shard(checkpoints, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(checkpoints.dinov2, copy)
    assert is_complete(copy)
    index = copy / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}))
    (copy / "one.safetensors").touch()
    assert not is_complete(copy)
    (copy / "two.safetensors").touch()
    assert is_complete(copy)
    index.write_text("{")
    assert not is_complete(copy)


def test_the_page_about_models_is_up_to_date():
    page = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
    assert refreshed(page) == page, "run `make docs`"
    assert all(f"`{entry.name}`" in page for entry in CATALOGUE)
    assert all(f"**{entry.family}**" in page for entry in CATALOGUE)


def test_importing_it_needs_no_torch():
    modules = "miner_resources.models.catalogue, miner_resources.models.adapter"
    code = f"import sys, {modules}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
