"""Words of strangers (titles, channels, keywords, licences) and of configs (classes, splits) stay words everywhere.

The web pages are tested in `tests/assets/explore/test_security.py`, Dagster's in `tests/assets/test_metadata.py`.
"""

import csv
import io
import json
import re
import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import polars as pl
import pytest
import yaml

from miner_assets.logic.coco import DATASET_FRAMES_SCHEMA, SourceVideo, build_coco
from miner_assets.logic.coco_checks import check_coco
from miner_assets.logic.coco_format import Coco, write_coco
from miner_assets.logic.dataset_card import CardFacts, dataset_card
from miner_assets.logic.exports.formats import export
from miner_assets.logic.exports.options import ExportOptions
from miner_assets.logic.exports.snapshot import Snapshot
from miner_resources.catalog import Catalog
from miner_resources.config_files import load_config
from miner_resources.errors import ConfigError, InvalidData, presentable
from miner_resources.images import encode_image
from miner_resources.published.publish import Entry
from miner_resources.records import DETECTIONS_SCHEMA, Video
from miner_resources.storage import Storage
from tests.assets.test_cli import invoke
from tests.shared_data import picture

NOW = datetime(2026, 1, 2, tzinfo=UTC)
HOSTILE = "<script>alert(1)</script>| [x](javascript:alert(2)) ![y](http://e.com/z.png) `{{7*7}}` \"'--; \x1b[2J"
CLASSES = [
    HOSTILE.replace("\x1b", ""),
    "../../etc/x",
    '"/><Label value="y"',
    "=1+1",
    "- a: b\n# c",
    "train: /etc",
    "a,b",
]
FORMATS = ("coco", "yolo", "webdataset", "hf", "labelstudio", "fiftyone", "manifest")


def hostile_coco() -> Coco:
    data = encode_image(picture(1), "jpg", 90)
    video = Video(
        video_id="v", url="https://e.com/v", title=HOSTILE, channel=HOSTILE, license=HOSTILE, added_at=NOW,
        source_keyword=HOSTILE,
    )  # fmt: skip
    name = "v__frame_000000.jpg"
    row = ("v", 0, name, 0, 1, 25, 0.0, 96, 64, __import__("hashlib").sha256(data).hexdigest(), "train")
    boxes = [("v", 0, label, 0.5, 6.0, 9.0, 30.0, 12.0, "demo", label) for label in CLASSES]
    return build_coco(
        [SourceVideo(video, 96, 64, Fraction(10))],
        pl.DataFrame([row], schema=DATASET_FRAMES_SCHEMA, orient="row"),
        pl.DataFrame(boxes, schema=DETECTIONS_SCHEMA, orient="row"),
        classes=CLASSES,
    )


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """A folder with the hostile dataset in all formats."""
    images = tmp_path / "mined"
    images.mkdir()
    coco = hostile_coco()
    (images / "v__frame_000000.jpg").write_bytes(encode_image(picture(1), "jpg", 90))
    write_coco(tmp_path / "annotations.json", coco)
    for name in FORMATS:
        export(Snapshot(coco, images, "key"), name, str(tmp_path / "exports" / name), ExportOptions(), lambda _: None)
    return tmp_path / "exports"


def test_no_export_makes_files_of_what_strangers_wrote(exported: Path) -> None:
    made = [path for path in exported.parent.rglob("*") if path.is_file()]
    assert all(re.fullmatch(r"[\w.-]+", path.name) for path in made)
    assert sorted(path.name for path in exported.iterdir()) == sorted(FORMATS)
    assert sorted(path.name for path in exported.parent.iterdir()) == ["annotations.json", "exports", "mined"]


def test_exports_keep_class_names_as_they_are(exported: Path) -> None:
    data = yaml.safe_load((exported / "yolo" / "data.yaml").read_text(encoding="utf-8"))
    assert list(data["names"].values()) == CLASSES
    assert data["train"] == "images/train"
    root = ET.fromstring((exported / "labelstudio" / "labeling_config.xml").read_text(encoding="utf-8"))
    labels = [label.get("value") for label in root.iter("Label")]
    assert labels == CLASSES
    assert json.loads((exported / "webdataset" / "classes.json").read_text()) == CLASSES
    front = (exported / "hf" / "README.md").read_text(encoding="utf-8").split("---\n")[1]
    assert set(yaml.safe_load(front)) <= {
        "configs",
        "dataset_info",
        "license",
        "task_categories",
        "tags",
        "size_categories",
    }


def test_the_card_shows_words_and_nothing_else() -> None:
    facts = CardFacts(
        title=HOSTILE, description=HOSTILE, contact=HOSTILE, version="0" * 16, coco=hostile_coco(), funnel=[],
        searches={HOSTILE: HOSTILE}, models=[], thresholds={HOSTILE: HOSTILE},
        split={"warnings": [HOSTILE], "group_by": "video", "method": "m"}, similarity={}, repeats=[],
    )  # fmt: skip
    card = dataset_card(facts)
    assert not re.search(r"(?<!\\)<", card)
    assert not re.search(r"(?<!\\)\]\(", card)
    assert not re.search(r"(?<!\\)!\[", card)
    assert "\x1b" not in card
    for line in card.splitlines():
        if "alert" in line and line.startswith("|"):
            assert len(re.findall(r"(?<!\\)\|", line)) in (3, 4, 5)


@pytest.mark.parametrize("name", ["../../x", "a/b", "", ".", "..", "a\\b", "a\0b", "/etc", "a" * 41, "a b", "ä"])
def test_splits_are_plain_names(name: str, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump({"dataset": {"splits": {name: 1.0}}}))
    with pytest.raises(ConfigError, match="names of splits"):
        load_config([file])
    coco = hostile_coco()
    coco["images"][0]["split"] = name
    assert any("split" in problem for problem in check_coco(dict(coco)))


@pytest.mark.parametrize("name", ["a\nb", "\x1b[2J", "a\tb", "a" * 201, " "])
def test_classes_are_words_in_one_line(name: str) -> None:
    with pytest.raises(ConfigError, match="classes"):
        load_config([], [f"classes={json.dumps([name])}"])


@pytest.mark.parametrize("path", ["../x", "/x", "a/../b", "a//b", "", ".", "a\\b"])
def test_nothing_is_published_outside_of_its_folder(path: str) -> None:
    with pytest.raises(InvalidData, match="no name inside an export"):
        Entry.of_bytes(path, b"")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    words = ["=HYPERLINK(1)", "+1", "-1", "@x", HOSTILE, "[red]x[/red]"]
    rows = [
        Video(video_id=f"-v{n}", url=f"https://e.com/{n}", title=word, channel=word, source_keyword=word, added_at=NOW)
        for n, word in enumerate(words)
    ]
    catalog = Catalog(Storage(tmp_path / "output"))
    catalog.add_videos(rows)
    catalog.add_keywords([HOSTILE, "'; DROP TABLE videos; --"])
    return tmp_path / "output"


def test_a_spreadsheet_runs_nothing_of_a_list(project: Path) -> None:
    said = invoke("registry", "list", "--format", "csv", "-O", project)
    rows = list(csv.DictReader(io.StringIO(said)))
    assert [row["video_id"] for row in rows] == [f"-v{n}" for n in range(6)]
    assert [row["title"] for row in rows[:4]] == ["'=HYPERLINK(1)", "'+1", "'-1", "'@x"]
    exact = json.loads(invoke("registry", "list", "--format", "json", "-O", project))
    assert exact[0]["title"] == "=HYPERLINK(1)"


def test_a_terminal_is_not_steered_by_titles(project: Path) -> None:
    for command in (["registry", "list"], ["registry", "status"], ["keywords", "list"]):
        said = invoke(*command, "-O", project)
        assert "\x1b" not in said
        assert "alert" in said
    assert "[red]" in invoke("registry", "list", "-O", project)


def test_queries_take_words_as_values(project: Path) -> None:
    said = invoke("registry", "list", "--keyword", "x' OR '1'='1", "--format", "json", "-O", project)
    assert json.loads(said) == []
    assert len(json.loads(invoke("registry", "list", "--keyword", HOSTILE, "--format", "json", "-O", project))) == 1


def test_errors_hide_secrets_and_do_not_steer() -> None:
    error = InvalidData(
        "https://user:planted@e.com/a?b=1&X-Amz-Signature=planted&v=kept //planted:pl@nted@e.com \x1b[2J\r s3://planted@b/c",
        remedy="http://u:planted@h",
    )
    said = f"{error} {error.args} {error.message} {error.remedy}"
    assert "planted" not in said
    assert "pl@nted" not in said
    assert "v=kept" in said
    assert "\x1b" not in said
    assert presentable("https://e.com/@someone?v=1&list=2#t=3") == "https://e.com/@someone?v=1&list=2#t=3"
