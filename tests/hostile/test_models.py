"""Folders with models from strangers: pickles are never opened, and code that they bring is never run.

What a folder would do is to leave a mark, a file that no test may find.
"""

import json
import pickle
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from miner_resources.errors import MinerError, NotConfigured
from miner_resources.models.loading import Settings, load_detector, load_embedder, load_text_image_model
from tests.models.tiny_checkpoints import Checkpoints

QUICK = Settings(device="cpu", precision="fp32", batch_size=1)
LOADERS: dict[str, list[Callable[[str, Settings], Any]]] = {
    "siglip": [load_text_image_model, load_embedder],
    "naflex": [load_text_image_model, load_embedder],
    "dinov2": [load_embedder],
    "dinov2_with_registers": [load_embedder],
    "dinov3": [load_embedder],
}
FAMILIES = [(family.name, load) for family in fields(Checkpoints) for load in LOADERS.get(family.name, [load_detector])]
each_loader = pytest.mark.parametrize(("family", "load"), FAMILIES, ids=lambda value: getattr(value, "__name__", value))


class Evil:
    """Unpickling it leaves the mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "mark"


@pytest.fixture
def folder(family: str, checkpoints: Checkpoints, tmp_path: Path) -> Path:
    """A copy of the family's checkpoint, to be spoilt."""
    return Path(shutil.copytree(getattr(checkpoints, family), tmp_path / "model"))


def plant_pickles(folder: Path, mark: Path) -> None:
    shard = "pytorch_model-00001-of-00001.bin"
    for name in ("pytorch_model.bin", shard, "model.pt", "weights.pth", "training_args.bin"):
        (folder / name).write_bytes(pickle.dumps(Evil(mark)))
    index = {"metadata": {}, "weight_map": {"a": shard}}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))


def test_the_pickle_would_leave_its_mark(mark: Path) -> None:
    pickle.loads(pickle.dumps(Evil(mark)))
    assert mark.exists()


@each_loader
def test_pickled_weights_are_refused(family: str, load: Callable[..., Any], folder: Path, mark: Path) -> None:
    plant_pickles(folder, mark)
    for weights in folder.glob("*.safetensors*"):
        weights.unlink()
    with pytest.raises(NotConfigured, match="lacks weights"):
        load(str(folder), QUICK)
    assert not mark.exists()


@pytest.mark.parametrize("family", ["siglip", "dinov2", "owlv2"])
@pytest.mark.parametrize("trick", ["index", "config", "renamed"])
def test_pickles_cannot_come_in_by_another_name(family: str, trick: str, folder: Path, mark: Path) -> None:
    plant_pickles(folder, mark)
    weights = folder / "model.safetensors"
    if trick == "index":
        weights.unlink()
        index = {"metadata": {}, "weight_map": {"a": "pytorch_model.bin"}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    elif trick == "config":
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"transformers_weights": "pytorch_model.bin"}))
    else:
        weights.write_bytes((folder / "pytorch_model.bin").read_bytes())
    with pytest.raises(MinerError) as caught:
        LOADERS.get(family, [load_detector])[0](str(folder), QUICK)
    assert str(folder) in str(caught.value)
    assert not mark.exists()


@each_loader
def test_code_that_a_model_brings_is_never_run(
    family: str, load: Callable[..., Any], folder: Path, mark: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", lambda *_: "y")  # transformers asks a person, who may be careless
    code = f"import pathlib\npathlib.Path({str(mark)!r}).touch()\nclass Evil: pass\n"
    (folder / "evil.py").write_text(code)
    for name in ("config.json", "tokenizer_config.json", "preprocessor_config.json", "processor_config.json"):
        path = folder / name
        values = json.loads(path.read_text()) if path.exists() else {}
        classes = ("AutoConfig", "AutoModel", "AutoProcessor", "AutoImageProcessor", "AutoModelForObjectDetection")
        own = dict.fromkeys((*classes, "AutoModelForZeroShotObjectDetection"), "evil.Evil")
        values["auto_map"] = {**own, "AutoTokenizer": ["evil.Evil", "evil.Evil"]}
        if name == "tokenizer_config.json":
            values["tokenizer_class"] = "EvilTokenizer"
        if path.exists() or name == "tokenizer_config.json":
            path.write_text(json.dumps(values))
    with suppress(MinerError):
        load(str(folder), QUICK)
    assert not mark.exists()
