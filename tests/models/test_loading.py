"""From name to adapter: downloads through huggingface_hub from a local hub, caches, and every way to lack weights."""

import shutil

import huggingface_hub.constants as hub_constants
import numpy as np
import pytest
from typer.testing import CliRunner

from miner_assets.cli import app
from miner_resources.errors import InvalidData, NotConfigured, NotFound, Unavailable
from miner_resources.models import sources
from miner_resources.models.catalogue import DETECTION, EMBEDDING, TEXT_IMAGE, ModelEntry
from miner_resources.models.loading import Settings, load_embedder, load_text_image_model
from miner_resources.models.sources import resolve
from miner_resources.models.weights import fetch_weights, settle, weights_present
from tests.models.hub_server import SHA, HubServer

QUICK = Settings(device="cpu", precision="fp32", batch_size=2)


@pytest.fixture
def hub(checkpoints, tmp_path, monkeypatch):
    """A hub that huggingface_hub talks to, with an empty cache."""
    repositories = {
        "org/siglip": checkpoints.siglip,
        "facebook/dinov2-small": checkpoints.dinov2,
        "org/foreign": tmp_path / "foreign",
    }
    repositories["org/foreign"].mkdir()
    (repositories["org/foreign"] / "config.json").write_text('{"model_type": "bert"}')
    (repositories["org/foreign"] / "model.safetensors").write_bytes(b"gigabytes")
    with HubServer(repositories).running() as server, server.in_use(monkeypatch, tmp_path / "cache"):
        yield server


@pytest.fixture
def offline(tmp_path, monkeypatch):
    monkeypatch.setattr(hub_constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", True)


def test_a_model_is_downloaded_once_and_then_needs_no_network(hub, monkeypatch):
    source = resolve("dinov2-small", EMBEDDING)
    assert not weights_present(source)
    first = load_embedder("dinov2-small", QUICK)
    assert weights_present(source)
    hub.requests.clear()
    again = load_embedder("dinov2-small", QUICK)
    assert hub.requests == []
    monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", True)
    offline = load_embedder("dinov2-small", QUICK)
    image = np.full((1, 42, 42, 3), 77, np.uint8)
    assert np.array_equal(first.embed(image), offline.embed(image))
    assert first.identity == again.identity == offline.identity


def test_a_hub_id_outside_the_catalogue_is_known_by_its_config(hub):
    model = load_text_image_model("org/siglip", QUICK)
    assert model.text_features(["dog"]).shape == (1, 32)


def test_a_foreign_model_is_refused_before_its_weights_are_fetched(hub):
    with pytest.raises(NotConfigured, match="type 'bert'"):
        load_embedder("org/foreign", QUICK)
    assert not any("safetensors" in request for request in hub.requests)


def test_a_foreign_model_is_refused_ahead_of_a_run_too(hub):
    with pytest.raises(NotConfigured, match="type 'bert'"):
        fetch_weights("org/foreign")
    assert not any("safetensors" in request for request in hub.requests)


def test_a_cache_without_a_tokenizer_is_completed(hub, checkpoints):
    """Another program may have needed the pictures' side only."""
    hub.repositories["google/siglip2-base-patch16-224"] = checkpoints.siglip
    source = resolve("siglip2-base", TEXT_IMAGE)
    (fetch_weights(source) / "tokenizer.json").unlink()
    assert not weights_present(source)
    assert (fetch_weights(source) / "tokenizer.json").exists()


def test_a_folder_that_is_called_like_a_repository_is_not_taken_for_it(hub, checkpoints, tmp_path, monkeypatch):
    shutil.copytree(checkpoints.dinov2, tmp_path / "facebook" / "dinov2-small")
    monkeypatch.chdir(tmp_path)
    assert not weights_present(resolve("dinov2-small", EMBEDDING))


@pytest.mark.parametrize("name", ["dinov2-small", f"dinov2-small@{SHA}", f"facebook/dinov2-small@{SHA}"])
def test_the_command_fetches_what_it_lists(hub, name):
    done = CliRunner().invoke(app, ["models", "download", name])
    assert done.exit_code == 0, done.output
    assert SHA in done.output


@pytest.mark.parametrize("name", ["dinov2-small", "facebook/dinov2-small", "org/siglip"])
def test_weights_can_be_fetched_ahead_by_name_alone(hub, name):
    assert (fetch_weights(name) / "model.safetensors").exists()


def test_fetching_an_unknown_name_says_so(hub):
    with pytest.raises(NotFound, match="dinov3"):
        fetch_weights("dinov3")


def test_a_cache_without_preprocessing_is_completed(hub):
    folder = fetch_weights("dinov2-small")
    (folder / "preprocessor_config.json").unlink()
    assert not weights_present(resolve("dinov2-small", EMBEDDING))
    assert (fetch_weights("dinov2-small") / "preprocessor_config.json").exists()


@pytest.mark.parametrize(
    ("refusal", "error", "words"),
    [
        ((404, "RepoNotFound"), NotFound, "no model facebook/dinov2-small"),
        ((401, "RepoNotFound"), NotFound, "HF_TOKEN"),
        ((403, "GatedRepo"), NotConfigured, "accept its licence.*HF_TOKEN"),
        ((500, "Broken"), Unavailable, "try again later"),
    ],
    ids=["missing", "private", "gated", "broken"],
)
def test_refusals_of_the_hub_are_told_apart(hub, refusal, error, words):
    hub.refusals["facebook/dinov2-small"] = refusal
    with pytest.raises(error, match=words):
        load_embedder("dinov2-small", QUICK)
    with pytest.raises(error, match=words.replace("facebook/dinov2-small", "")):
        fetch_weights("dinov2-small")


def test_a_gated_model_names_its_licence(hub, monkeypatch):
    row = ModelEntry(
        name="gated",
        task=EMBEDDING,
        family="dino",
        licence="special",
        licence_url="https://example.org/licence",
        gated=True,
        input_size=42,
        scores="cosine",
        default_threshold=0.9,
        hub_id="facebook/dinov2-small",
    )
    monkeypatch.setattr(sources, "CATALOGUE", (row,))
    hub.refusals["facebook/dinov2-small"] = (403, "GatedRepo")
    with pytest.raises(NotConfigured, match=r"https://example\.org/licence"):
        load_embedder("gated", QUICK)


@pytest.mark.parametrize(
    ("load", "name", "hub_id"),
    [
        (load_text_image_model, "siglip2-base", "google/siglip2-base-patch16-224"),
        (load_embedder, "dinov2-base", "facebook/dinov2-base"),
        (load_embedder, "someone/something", "someone/something"),
    ],
)
def test_without_weights_and_network_the_error_names_both_ways(offline, load, name, hub_id):
    with pytest.raises(NotConfigured) as caught:
        load(name, QUICK)
    assert name in caught.value.message
    assert hub_id in caught.value.message
    assert "HF_HUB_OFFLINE is set" in caught.value.message
    assert f"video-miner models download {name}" in caught.value.remedy
    assert "path of a folder" in caught.value.remedy
    assert "video-miner doctor" in caught.value.remedy


def test_no_connection_is_told_as_missing_weights(hub, monkeypatch):
    monkeypatch.setattr(hub_constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(NotConfigured, match="cannot be downloaded"):
        fetch_weights("dinov2-small")


@pytest.fixture
def copy(checkpoints, tmp_path):
    return shutil.copytree(checkpoints.siglip, tmp_path / "copy")


def test_a_folder_without_safetensors_is_refused(copy):
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    assert not weights_present(resolve(str(copy), TEXT_IMAGE))
    with pytest.raises(NotConfigured, match="lacks weights"):
        load_text_image_model(str(copy), QUICK)


def test_damaged_weights_are_told(copy):
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(InvalidData, match="cannot be used"):
        load_text_image_model(str(copy), QUICK)


def test_weights_that_do_not_cover_the_model_are_refused_instead_of_drawn_at_random(copy):
    config = copy / "config.json"
    config.write_text(config.read_text().replace('"num_hidden_layers": 2', '"num_hidden_layers": 3'))
    with pytest.raises(InvalidData, match="weights are missing, such as"):
        load_text_image_model(str(copy), QUICK)


def test_weights_of_another_shape_are_refused(copy):
    config = copy / "config.json"
    config.write_text(config.read_text().replace('"intermediate_size": 64', '"intermediate_size": 96'))
    with pytest.raises(InvalidData, match="cannot be used"):
        load_text_image_model(str(copy), QUICK)


def test_a_missing_tokenizer_is_told(copy):
    for path in copy.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(InvalidData, match="tokenizer"):
        load_text_image_model(str(copy), QUICK)


def test_loading_is_quiet(checkpoints, capfd, caplog):
    load_text_image_model(str(checkpoints.siglip), QUICK)
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []


def test_of_several_models_the_first_that_can_be_fetched_is_taken(hub):
    hub.refusals["facebook/dinov3-vitb16-pretrain-lvd1689m"] = (403, "GatedRepo")
    wanted = "dinov3-base, dinov2-small"
    assert settle(wanted, EMBEDDING, fetch=False) == "dinov3-base"
    assert settle(wanted, EMBEDDING, fetch=True) == "dinov2-small"
    hub.requests.clear()
    assert settle(wanted, EMBEDDING, fetch=False) == "dinov2-small"
    assert hub.requests == [], "what is here is preferred over what might be fetched"


def test_when_none_can_be_had_every_reason_is_given(hub):
    hub.refusals["facebook/dinov3-vitb16-pretrain-lvd1689m"] = (403, "GatedRepo")
    hub.refusals["facebook/dinov2-small"] = (500, "Broken")
    with pytest.raises(NotConfigured, match=r"dinov3-base: .*licence.*dinov2-small: .*answered with an error"):
        settle("dinov3-base, dinov2-small", EMBEDDING, fetch=True)


@pytest.mark.parametrize("name", ["dino-x", "moondream3"])
def test_a_service_has_nothing_to_fetch(name):
    source = resolve(name, DETECTION)
    assert weights_present(source)
    with pytest.raises(NotConfigured, match="no weights to fetch"):
        fetch_weights(source)
