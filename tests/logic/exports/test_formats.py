"""Every format: read back with its own reader, and what all of them must keep."""

import ast
import gc
import hashlib
import importlib.util
import io
import json
import re
import sys
import types
import xml.etree.ElementTree as ET
from collections.abc import Callable
from contextlib import redirect_stdout
from fractions import Fraction
from pathlib import Path
from typing import get_args

import datasets
import numpy as np
import polars as pl
import pytest
import webdataset
import yaml
from PIL import Image
from pycocotools.coco import COCO

from miner_assets.logic.exports.formats import FORMATS, export
from miner_assets.logic.exports.manifest import read_manifest
from miner_assets.logic.exports.options import Encoding, ExportOptions
from miner_assets.logic.exports.pictures import shards
from miner_assets.logic.exports.snapshot import Snapshot
from miner_assets.logic.exports.webdataset import sample_key
from miner_resources.errors import InvalidData, NotFound
from miner_resources.likeness import thumbnail
from miner_resources.vocabulary import ExportFormat
from tests.logic.exports.conftest import CLASSES, snapshot_of, write_dataset
from tests.shared_data import REPOSITORY

NAMES = ("-dash_id__frame_000000", "-dash_id__frame_000030", "-dash_id__frame_000060", "file-0123__frame_000005")
Export = Callable[..., Path]


@pytest.fixture
def exported(snapshot: Snapshot, tmp_path: Path) -> Export:
    def write(name: ExportFormat, source: Snapshot = snapshot, **options: object) -> Path:
        target = tmp_path / "exports" / name
        export(source, name, str(target), ExportOptions(**options), lambda _: None)  # pyright: ignore
        return target

    return write


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as opened:
        return np.asarray(opened)


def test_coco_is_what_pycocotools_reads(exported, snapshot):
    folder = exported("coco")
    with redirect_stdout(io.StringIO()):
        whole = COCO(folder / "annotations.json")
        parts = [COCO(folder / f"annotations/instances_{split}.json") for split in ("train", "val")]
    assert whole.dataset == snapshot.coco
    assert [sorted(part.imgs) for part in parts] == [
        sorted(image["id"] for image in snapshot.images_of(split)) for split in ("train", "val")
    ]
    assert sum(len(part.anns) for part in parts) == len(whole.anns) == 4
    video = whole.dataset["videos"][0]
    assert (video["name"], video["url"]) == ("-dash_id", "https://www.youtube.com/watch?v=dQw4w9WgXcQ")
    for image in whole.dataset["images"]:
        file = folder / "images" / image["file_name"]
        assert hashlib.sha256(file.read_bytes()).hexdigest() == image["sha256"]
        assert file.samefile(snapshot.images / image["file_name"])


def ultralytics_dataset(yaml_file: Path) -> dict[str, dict[str, np.ndarray]]:
    """What Ultralytics sees, by its rules: `check_det_dataset` for the YAML, `verify_image_label` for each pair."""
    facts = yaml.safe_load(yaml_file.read_text(encoding="utf-8"))
    assert {"train", "val", "names"} <= set(facts)
    assert sorted(facts["names"]) == list(range(len(facts["names"])))
    root = Path(facts.get("path") or yaml_file.parent)
    found: dict[str, dict[str, np.ndarray]] = {}
    for role in ("train", "val", "test"):
        if role in facts:
            pictures = sorted((root / facts[role]).iterdir())
            assert pictures, f"no images found in {facts[role]}"
            found[role] = {picture.stem: ultralytics_labels(picture, len(facts["names"])) for picture in pictures}
    return found


def ultralytics_labels(picture: Path, classes: int) -> np.ndarray:
    with Image.open(picture) as opened:
        opened.verify()
    parts = list(picture.parts)
    place = len(parts) - 1 - parts[::-1].index("images")
    file = Path(*parts[:place], "labels", *parts[place + 1 :]).with_suffix(".txt")
    assert file.is_file(), f"{file} is missing: a background needs an empty one"
    rows = [line.split() for line in file.read_text().splitlines()]
    labels = np.array(rows, np.float64).reshape(-1, 5)
    assert ((labels[:, 1:] >= 0) & (labels[:, 1:] <= 1)).all()
    assert (labels[:, 0] < classes).all()
    assert len(np.unique(labels, axis=0)) == len(labels)
    return labels


def test_yolo_is_what_ultralytics_reads(exported, snapshot):
    folder = exported("yolo")
    found = ultralytics_dataset(folder / "data.yaml")
    assert list(yaml.safe_load((folder / "data.yaml").read_text("utf-8"))["names"].values()) == CLASSES
    assert {role: list(labels) for role, labels in found.items()} == {"train": list(NAMES[:3]), "val": [NAMES[3]]}
    assert found["train"][NAMES[1]].shape == (0, 5)
    for image in snapshot.coco["images"]:
        rows = found[image["split"]][image["file_name"].removesuffix(".jpg")]
        scale = np.array([image["width"], image["height"]] * 2)
        sizes = rows[:, 3:] * scale[:2]
        back = np.hstack([rows[:, 1:3] * scale[:2] - sizes / 2, sizes])
        expected = [box["bbox"] for box in snapshot.boxes[image["id"]]]
        assert np.abs(back - np.array(expected).reshape(-1, 4)).max(initial=0) < 1e-3
    lines = [json.loads(line) for line in (folder / "attributes/train.jsonl").read_text().splitlines()]
    assert [line["file_name"] for line in lines] == [f"{name}.jpg" for name in NAMES[:3]]
    assert [box["score"] for box in lines[0]["objects"]] == [0.5, 0.75]
    assert lines[0]["pts"] == 0
    assert lines[0]["video_id"] == "-dash_id"


@pytest.mark.parametrize(
    ("splits", "roles"),
    [
        ({"val": "train"}, {"train": "train", "val": "train"}),
        ({"train": "all", "val": "all"}, {"all": "all", "train": "all", "val": "all"}),
        ({"val": "validation"}, {"train": "train", "val": "validation"}),
    ],
    ids=["no val", "neither", "validation"],
)
def test_yolo_has_train_and_val_whatever_the_splits(tmp_path, exported, splits, roles):
    folder = exported("yolo", snapshot_of(write_dataset(tmp_path / "dataset", splits)))
    facts = yaml.safe_load((folder / "data.yaml").read_text("utf-8"))
    assert {role: facts[role] for role in roles} == {role: f"images/{split}" for role, split in roles.items()}
    ultralytics_dataset(folder / "data.yaml")


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_webdataset_is_what_webdataset_reads(exported, snapshot):
    folder = exported("webdataset")
    samples = []
    for split in ("train", "val"):
        urls = [str(path) for path in sorted(folder.glob(f"{split}-*.tar"))]
        samples += list(webdataset.WebDataset(urls, shardshuffle=False, empty_check=False).decode("rgb8"))
    gc.collect()  # webdataset leaves files open
    assert [sample["__key__"] for sample in samples] == list(NAMES)
    for sample, image in zip(samples, snapshot.coco["images"], strict=True):
        assert np.array_equal(sample["jpg"], pixels(snapshot.images / image["file_name"]))
        assert sample["json"] == snapshot.sample(image)
    assert [box["category"] for box in samples[0]["json"]["objects"]] == [CLASSES[1], "person"]


def test_webdataset_shards_are_as_large_as_wanted(exported, snapshot):
    largest = max((snapshot.images / image["file_name"]).stat().st_size for image in snapshot.coco["images"])
    folder = exported("webdataset", shard_bytes=2 * largest)
    assert sorted(path.name for path in folder.glob("*.tar")) == [
        "train-000000.tar",
        "train-000001.tar",
        "val-000000.tar",
    ]
    assert [len(images) for images in shards(snapshot, "train", 2 * largest)] == [2, 1]
    assert [len(images) for images in shards(snapshot, "train", 1)] == [1, 1, 1]


def test_keys_of_samples_have_no_dots_and_stay_apart():
    names = ["a.b.jpg", "a-b.jpg", "a.b.png", "plain.jpg"]
    keys = [sample_key({"file_name": name, "id": number}) for number, name in enumerate(names)]  # pyright: ignore
    assert keys == ["a-b-0", "a-b", "a-b-2", "plain"]


def test_hf_is_what_datasets_reads(exported, snapshot, tmp_path):
    folder = exported("hf", shard_bytes=3000)
    loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in loaded.items()} == {"train": 3, "validation": 1}
    rows = [*loaded["train"], *loaded["validation"]]
    features = loaded["train"].features
    assert isinstance(features["image"], datasets.Image)
    assert features["objects"]["category"].feature.names == CLASSES
    for row, image in zip(rows, snapshot.coco["images"], strict=True):
        boxes = snapshot.boxes[image["id"]]
        assert np.array_equal(np.asarray(row["image"]), pixels(snapshot.images / image["file_name"]))
        assert np.allclose(row["objects"]["bbox"], [box["bbox"] for box in boxes])
        assert row["objects"]["id"] == [box["id"] for box in boxes]
        assert [row[name] for name in ("image_id", "file_name", "pts", "sha256")] == [
            image[name] for name in ("id", "file_name", "pts", "sha256")
        ]
    assert rows[0]["title"] == "half \ufffd smile"
    assert rows[2]["objects"]["score"] == [None]
    files = sorted(path.name for path in (folder / "data").iterdir())
    assert files[0].endswith(f"-of-{len(files) - 1:05d}.parquet")
    assert len(files) > 2


def test_hf_parquet_alone_knows_its_pictures(exported, tmp_path):
    file = next((exported("hf") / "data").glob("train*"))
    loaded = datasets.load_dataset("parquet", data_files=str(file), split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded[0]["image"].size == (96, 64)


def test_hf_readme_takes_a_card(exported):
    text = (exported("hf", card="# My dataset\n") / "README.md").read_text(encoding="utf-8")
    _, front, body = text.split("---\n")
    assert body.strip() == "# My dataset"
    assert [entry["split"] for entry in yaml.safe_load(front)["configs"][0]["data_files"]] == ["train", "validation"]


def test_label_studio_predictions_fit_the_interface(exported, snapshot):
    folder = exported("labelstudio", image_url="s3://bucket/images/")
    interface = ET.fromstring((folder / "labeling_config.xml").read_text(encoding="utf-8"))
    control, shown = interface.find("RectangleLabels"), interface.find("Image")
    assert control is not None
    assert shown is not None
    assert control.get("toName") == shown.get("name")
    assert [label.get("value") for label in control] == CLASSES
    tasks = json.loads((folder / "tasks/train-00000.json").read_text())
    tasks += json.loads((folder / "tasks/val-00000.json").read_text())
    for task, image in zip(tasks, snapshot.coco["images"], strict=True):
        assert task["data"]["image"] == f"s3://bucket/images/{image['file_name']}"
        assert set(task) == {"data", "predictions"}
        regions = task["predictions"][0]["result"]
        assert len(regions) == len(snapshot.boxes[image["id"]])
        for region, box in zip(regions, snapshot.boxes[image["id"]], strict=True):
            value = region["value"]
            assert (region["from_name"], region["to_name"]) == (control.get("name"), shown.get("name"))
            assert (region["original_width"], region["original_height"]) == (96, 64)
            percent = [value[name] for name in ("x", "y", "width", "height")]
            assert np.allclose(np.array(percent) * [96, 64, 96, 64] / 100, box["bbox"])
            assert 0 <= value["x"] <= value["x"] + value["width"] <= 100.001
            assert set(value["rectanglelabels"]) <= set(CLASSES)
            assert region.get("score") == box["score"]
    assert tasks[0]["predictions"][0]["score"] == 0.625
    assert "t=0s" in tasks[0]["data"]["source"]


class FakeFiftyOne(types.ModuleType):
    """FiftyOne's importer by its documented rules: pictures in `data_path` by name, boxes, and nothing else."""

    class Sample(dict):
        def __init__(self, filepath: str, detections: list) -> None:
            super().__init__(detections=detections)
            self.filepath, self.tags = filepath, []

    def __init__(self) -> None:
        super().__init__("fiftyone")
        self.types = types.SimpleNamespace(COCODetectionDataset="coco")
        self.Dataset = types.SimpleNamespace(from_dir=self.from_dir)
        self.dataset_exists = lambda _: False

    def from_dir(self, *, dataset_type, data_path, labels_path, include_id, name):
        labels = json.loads(Path(labels_path).read_text())
        assert (dataset_type, include_id) == ("coco", True)
        samples = []
        for image in labels["images"]:
            path = Path(data_path) / image["file_name"]
            assert path.is_file()
            boxes = [box for box in labels["annotations"] if box["image_id"] == image["id"]]
            samples.append(self.Sample(str(path), boxes))
        return types.SimpleNamespace(
            name=name, persistent=False, samples=samples, iter_samples=lambda autosave, progress: samples
        )


def test_fiftyone_loader_attaches_the_video(exported, snapshot, monkeypatch):
    folder = exported("fiftyone")
    monkeypatch.setitem(sys.modules, "fiftyone", FakeFiftyOne())
    spec = importlib.util.spec_from_file_location("load_fiftyone", folder / "load_fiftyone.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    spec.loader.exec_module(module)
    dataset = module.load("mine")
    assert dataset.persistent
    for sample, image in zip(dataset.samples, snapshot.coco["images"], strict=True):
        assert sample.tags == [image["split"]]
        assert sample["video_id"] == snapshot.videos[image["video_id"]]["name"]
        assert (sample["pts"], sample["source_url"]) == (image["pts"], image["source_url"])
        assert sample["detections"] == snapshot.boxes[image["id"]]
    assert dataset.samples[0]["license"] == "CC BY"


def test_fiftyone_loader_needs_nothing_of_ours(exported):
    tree = ast.parse((exported("fiftyone") / "load_fiftyone.py").read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported == {"json", "pathlib", "typing", "fiftyone"}


def test_manifest_says_everything_but_the_pictures(exported, snapshot):
    encoding = Encoding("jpg", 90, 640)
    folder = exported("manifest", encoding=encoding)
    assert sorted(path.name for path in folder.iterdir()) == ["_export.json", "manifest.parquet"]
    manifest = read_manifest(folder)
    assert manifest.encoding == encoding
    assert manifest.coco == snapshot.coco
    row = pl.read_parquet(folder / "manifest.parquet").row(2, named=True)
    assert (row["video_id"], row["pts"], Fraction(row["time_base"])) == ("-dash_id", 30720, Fraction(1, 15360))
    assert row["objects"][0]["category"] == "Straße"
    for image in snapshot.coco["images"]:
        data = (snapshot.images / image["file_name"]).read_bytes()
        assert manifest.thumbnails[image["file_name"]] == thumbnail(data)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"quality": 95', '"quality": "best"'),
        ('"format": "jpg"', '"format": "exe"'),
        ('"max_side": null', '"max_side": -1'),
        ('"version": 1', '"version": 2'),
        ('"-dash_id"', '"../dash_id"'),
    ],
)
def test_a_manifest_from_a_stranger_is_checked(tmp_path, exported, old, new):
    source = exported("manifest") / "manifest.parquet"
    header = pl.read_parquet_metadata(source)["video_miner.manifest"]
    assert old in header
    table = pl.read_parquet(source)
    if "dash" in old:
        table = table.with_columns(pl.col("video_id").str.replace("-dash_id", "../dash_id", literal=True))
    changed = {"video_miner.manifest": header.replace(old, new)}
    table.write_parquet(tmp_path / "manifest.parquet", metadata=changed)
    with pytest.raises(InvalidData):
        read_manifest(tmp_path)
    bases = pl.read_parquet(source).with_columns(time_base=pl.lit("1/0"))
    bases.write_parquet(tmp_path / "manifest.parquet", metadata={"video_miner.manifest": header})
    with pytest.raises(InvalidData, match="is no manifest"):
        read_manifest(tmp_path)


def test_a_file_that_is_no_manifest_is_refused(tmp_path, exported):
    file = tmp_path / "manifest.parquet"
    with pytest.raises(InvalidData, match="is no manifest"):
        read_manifest(file)
    pl.DataFrame({"a": [1]}).write_parquet(file)
    with pytest.raises(InvalidData, match="is no manifest"):
        read_manifest(file)
    table = pl.read_parquet(exported("manifest") / "manifest.parquet")
    metadata = dict(pl.read_parquet_metadata(exported("manifest") / "manifest.parquet"))
    evil = table.with_columns(file_name=pl.lit("../../") + pl.col("file_name"))
    evil.write_parquet(file, metadata={"video_miner.manifest": metadata["video_miner.manifest"]})
    with pytest.raises(InvalidData, match="not a plain relative name"):
        read_manifest(file)


READERS = re.findall(r"```python\n(.*?)```", (REPOSITORY / "docs" / "export.md").read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", ["coco", "webdataset", "hf"])
def test_the_lines_in_the_guide_read_it(name, exported, tmp_path, monkeypatch):
    exported(name)
    code = next(lines for lines in READERS if f"exports/{name}" in lines)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    found: dict[str, object] = {}
    exec(code, found)
    rows = found["coco"].imgs if name == "coco" else list(found["dataset"])  # pyright: ignore
    assert len(rows) == 3
    gc.collect()


@pytest.mark.parametrize("name", get_args(ExportFormat))
def test_every_format_has_a_place_in_the_guide(name):
    assert f"| [`{name}`](#" in (REPOSITORY / "docs" / "export.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", get_args(ExportFormat))
def test_the_same_dataset_gives_the_same_bytes(name, dataset, snapshot, tmp_path):
    digests = []
    for place, source in (("one", snapshot), ("two", snapshot_of(dataset))):
        seen: list[int] = []
        done = export(source, name, str(tmp_path / place), ExportOptions(), seen.append)
        files = sorted(path for path in (tmp_path / place).rglob("*") if path.is_file())
        digests.append({path.relative_to(tmp_path / place).as_posix(): path.read_bytes() for path in files})
        assert sum(seen) == done.images == 4
        assert done.files == len(files) - 1
    assert digests[0] == digests[1]


def test_every_format_of_the_configuration_is_there():
    assert set(FORMATS) == set(get_args(ExportFormat))


def test_a_dataset_without_pictures_is_not_exported(snapshot, tmp_path):
    empty = Snapshot(snapshot.part([]), snapshot.images, "empty")
    with pytest.raises(NotFound, match="no pictures"):
        export(empty, "yolo", str(tmp_path / "yolo"), ExportOptions(), lambda _: None)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["coco", "webdataset", "hf"])
def test_a_missing_picture_is_named(name, tmp_path):
    folder = write_dataset(tmp_path / "dataset")
    (folder / "images" / f"{NAMES[1]}.jpg").unlink()
    with pytest.raises(InvalidData, match=NAMES[1]):
        export(snapshot_of(folder), name, str(tmp_path / "out"), ExportOptions(), lambda _: None)
    assert not (tmp_path / "out").exists()


def test_a_broken_annotation_file_is_refused(tmp_path):
    folder = write_dataset(tmp_path / "dataset")
    file = folder / "annotations.json"
    file.write_text(file.read_text().replace('"split":"val"', '"split":""'))
    with pytest.raises(InvalidData, match="split '' is not a name"):
        snapshot_of(folder)
