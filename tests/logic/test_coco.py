import contextlib
import copy
import hashlib
import io
import json
import re
from datetime import UTC, datetime
from fractions import Fraction

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from miner_assets.logic import coco as coco_module
from miner_assets.logic.coco import DATASET_FRAMES_SCHEMA, SourceVideo, build_coco
from miner_assets.logic.coco_checks import Count, check_coco, dataset_summary
from miner_assets.logic.coco_format import MAX_ID, read_coco, write_coco
from miner_assets.logic.source_links import source_url
from miner_resources.errors import InvalidData
from miner_resources.records import DETECTIONS_SCHEMA, Video

CLASSES = ("person", "car")
YOUTUBE = "https://www.youtube.com/watch?v=dQw4w9WgXcQ"


def source(video_id, url=YOUTUBE, **facts):
    video = Video(video_id=video_id, url=url, added_at=datetime(2026, 1, 1, tzinfo=UTC), **facts)
    return SourceVideo(video=video, width=64, height=48, fps=Fraction(30000, 1001))


def frame(video_id, index, split="train", width=64, height=48):
    name = f"{video_id}__frame_{index:06d}.jpg"
    sha256 = hashlib.sha256(name.encode()).hexdigest()
    return (video_id, index, name, 512 * index, 1, 15360, index / 30, width, height, sha256, split)


def frames_table(*rows):
    return pl.DataFrame(list(rows), schema=DATASET_FRAMES_SCHEMA, orient="row")


def box(video_id, index, category="car", score=0.5, xywh=(1, 2, 10, 20), detector="demo", prompt="a car"):
    return (video_id, index, category, score, *xywh, detector, prompt)


def boxes_table(*rows):
    return pl.DataFrame(list(rows), schema=DETECTIONS_SCHEMA, orient="row")


VIDEOS = (
    source("dQw4w9WgXcQ", title="Straße \ud83d cut", channel="c", license="CC BY"),
    source("file-0123", "/clips/a b.mp4"),
)
FRAMES = frames_table(
    frame("dQw4w9WgXcQ", 0), frame("dQw4w9WgXcQ", 300), frame("file-0123", 30, "val"), frame("file-0123", 60, "val")
)
BOXES = boxes_table(
    box("dQw4w9WgXcQ", 300, "person", 0.30001),
    box("dQw4w9WgXcQ", 0, "car", 0.4, (10.123456, 20, 53.999, 27.99999)),
    box("dQw4w9WgXcQ", 0, "car", 0.9),
    box("dQw4w9WgXcQ", 0, "person", None),
    box("dQw4w9WgXcQ", 150, "car"),
    box("file-0123", 30, "car", 1.0, (0, 0, 64, 48)),
)


def built(videos=VIDEOS, frames=FRAMES, boxes=BOXES, classes=CLASSES):
    return build_coco(videos, frames, boxes, classes=classes)


def ids(coco, section):
    keys = {"videos": ["name"], "images": ["file_name"], "categories": ["name"]}
    named = keys.get(section, ["image_id", "category_id", "bbox"])
    return {str([record[key] for key in named]): record["id"] for record in coco[section]}


def test_the_file_says_what_the_contract_says():
    coco = built()
    video, image, best = coco["videos"][0], coco["images"][1], coco["annotations"][0]
    assert video == {
        "id": video["id"],
        "name": "dQw4w9WgXcQ",
        "url": YOUTUBE,
        "title": "Straße \ud83d cut",
        "channel": "c",
        "trainable": None,
        "license": "CC BY",
        "fps": 29.97003,
        "width": 64,
        "height": 48,
    }
    assert image == {
        "id": image["id"],
        "file_name": "dQw4w9WgXcQ__frame_000300.jpg",
        "width": 64,
        "height": 48,
        "license": coco["licenses"][0]["id"],
        "video_id": video["id"],
        "frame_id": 300,
        "timestamp_s": 10.0,
        "pts": 153600,
        "time_base": "1/15360",
        "source_url": "https://www.youtube.com/watch?v=dQw4w9WgXcQ&t=10s",
        "sha256": FRAMES["sha256"][1],
        "split": "train",
    }
    assert best == {
        "id": best["id"],
        "image_id": coco["images"][0]["id"],
        "video_id": video["id"],
        "category_id": 2,
        "bbox": [1.0, 2.0, 10.0, 20.0],
        "area": 200.0,
        "iscrowd": 0,
        "segmentation": [],
        "score": 0.9,
        "detector": "demo",
        "prompt": "a car",
    }
    assert coco["categories"] == [
        {"id": 1, "name": "person", "supercategory": "object"},
        {"id": 2, "name": "car", "supercategory": "object"},
    ]
    assert [record["name"] for record in coco["licenses"]] == ["CC BY"]
    assert "license" not in coco["images"][2]
    assert check_coco(coco, files=set(FRAMES["file_name"])) == []


def test_boxes_on_removed_frames_are_left_out_and_scores_may_be_missing():
    scores = [annotation["score"] for annotation in built()["annotations"]]
    assert scores == [0.9, 0.4, None, 0.30001, 1.0]


def test_an_empty_dataset_is_valid():
    coco = built(frames=FRAMES.clear(), boxes=BOXES.clear())
    assert check_coco(coco) == []
    assert dataset_summary(coco) == []


def test_video_without_a_constant_frame_rate():
    assert built(videos=[SourceVideo(VIDEOS[0].video, 64, 48, None), VIDEOS[1]])["videos"][0]["fps"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param({"videos": VIDEOS[:1]}, "unknown videos .'file-0123'", id="frame without video"),
        pytest.param({"classes": ["person"]}, "unknown classes .'car'", id="box of another class"),
        pytest.param({"videos": (*VIDEOS, VIDEOS[0])}, "dQw4w9WgXcQ is there twice", id="video twice"),
        pytest.param({"frames": pl.concat([FRAMES, FRAMES])}, "is there twice", id="frame twice"),
    ],
)
def test_inconsistent_input_is_refused(arguments, message):
    with pytest.raises(InvalidData, match=message):
        built(**arguments)


@pytest.mark.parametrize(
    "xywh",
    [(64, 0, 5, 5), (0, -9, 5, 9), (0, 0, 0, 5), (0, 0, 5, -1), (float("nan"), 0, 5, 5), (0, 0, 5, float("inf"))],
    ids=["right of it", "above it", "empty", "negative", "NaN", "infinite"],
)
def test_boxes_outside_the_picture_are_refused(xywh):
    with pytest.raises(InvalidData, match="is not inside frame file-0123:30"):
        built(boxes=boxes_table(box("file-0123", 30, xywh=xywh)))


@given(
    x=st.floats(-10, 1919.5, width=32),
    y=st.floats(-10, 1079.5, width=32),
    width=st.floats(2**-10, 3000, width=32),
    height=st.floats(2**-10, 3000, width=32),
    size=st.tuples(st.integers(1, 1920), st.integers(1, 1080)),
)
def test_boxes_are_never_outside_the_picture_and_close_to_the_detection(x, y, width, height, size):
    x, y = min(x, size[0] - 0.5), min(y, size[1] - 0.5)
    x, y = max(x, 0.002 - width), max(y, 0.002 - height)
    frames = frames_table(frame("file-0123", 30, width=size[0], height=size[1]))
    coco = built(frames=frames, boxes=boxes_table(box("file-0123", 30, xywh=(x, y, width, height))))
    assert check_coco(coco) == []
    left, top, across, down = coco["annotations"][0]["bbox"]
    assert abs(left - max(x, 0)) <= 0.0151
    assert abs(top - max(y, 0)) <= 0.0151
    assert abs(left + across - min(x + width, size[0])) <= 0.0251
    assert abs(top + down - min(y + height, size[1])) <= 0.0251


def test_every_hundredth_of_a_pixel_stays_inside_in_floating_point():
    for limit in (1, 7, 48, 64, 640, 1079, 1080, 1920):
        for hundredths in range(0, 100 * limit, max(1, limit // 40)):
            start = hundredths / 100
            span = coco_module._span(start, limit - start, limit)
            assert span is not None
            assert span[1] > 0
            assert span[0] >= 0
            assert span[0] + span[1] <= limit


def test_adding_videos_frames_and_classes_changes_no_id():
    old = built()
    frames = pl.concat([frames_table(frame("AAAAAAAAAAA", 0, "test")), FRAMES, frames_table(frame("file-0123", 90))])
    boxes = pl.concat([boxes_table(box("AAAAAAAAAAA", 0, xywh=(3, 3, 3, 3))), BOXES])
    new = built([source("AAAAAAAAAAA"), *VIDEOS], frames, boxes, [*CLASSES, "dog"])
    for section in ("videos", "images", "annotations", "categories"):
        assert ids(old, section).items() < ids(new, section).items()


@pytest.mark.parametrize("threshold", [0.35, 0.5, 0.95])
def test_a_higher_threshold_changes_no_id(threshold):
    kept = BOXES.filter(pl.col("score") >= threshold)
    assert ids(built(boxes=kept), "annotations").items() <= ids(built(), "annotations").items()


def test_a_higher_threshold_of_one_class_changes_no_id_of_another():
    boxes = boxes_table(*(box("file-0123", 30, name, 0.9 - 0.1 * rank) for rank in range(4) for name in CLASSES))
    kept = boxes.filter((pl.col("category") == "person") | (pl.col("score") > 0.75))
    old, new = (built(boxes=table)["annotations"] for table in (boxes, kept))
    assert len(new) == 6
    assert all(annotation in old for annotation in new)


@given(st.permutations(range(len(BOXES))))
def test_the_order_of_the_detections_does_not_matter(order):
    assert built(boxes=BOXES[list(order)]) == built()


def test_ids_that_collide_are_told_apart_without_moving_the_first(monkeypatch):
    names = [f"n{number}" for number in range(200)]
    hashed = coco_module._hash_53
    monkeypatch.setattr(coco_module, "_hash_53", lambda text: hashed(text) % 256)
    first, more = coco_module._stable_ids("image", names[:150]), coco_module._stable_ids("image", names)
    assert len(set(more.values())) == 200
    assert min(more.values()) >= 1
    assert first.items() <= more.items()


def test_ids_are_pinned():
    coco = built()
    assert coco["videos"][1]["id"] == 7954125557031234
    assert coco["images"][0]["id"] == 3319018495102003
    assert coco["annotations"][0]["id"] == 6032163393462229
    assert all(1 <= record["id"] <= MAX_ID for section in ("videos", "images") for record in coco[section])


def test_written_bytes_are_equal_each_time_and_read_back(tmp_path):
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    write_coco(first, built())
    write_coco(second, built(boxes=BOXES.reverse()))
    assert first.read_bytes() == second.read_bytes()
    assert read_coco(first) == built()
    assert len(first.read_text("ascii").splitlines()) > len(FRAMES) + len(built()["annotations"])
    write_coco(first, {})
    assert json.loads(first.read_text()) == {}
    write_coco(first, built(frames=FRAMES.clear()))
    assert read_coco(first)["images"] == []


def test_not_a_number_is_never_written(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        write_coco(tmp_path / "a.json", {"info": {"x": float("nan")}})


@pytest.mark.parametrize("content", [None, "", "[]"], ids=["missing", "empty", "a list"])
def test_unreadable_files_are_refused(tmp_path, content):
    path = tmp_path / "annotations.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InvalidData, match=r"annotations\.json"):
        read_coco(path)


def test_pycocotools_loads_and_evaluates_it(tmp_path):
    coco = built()
    write_coco(tmp_path / "annotations.json", coco)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(tmp_path / "annotations.json"))
        found = truth.loadRes(
            [
                {key: annotation[key] for key in ("image_id", "category_id", "bbox")}
                | {"score": annotation["score"] or 0.1}
                for annotation in coco["annotations"]
            ]
        )
        scores = COCOeval(truth, found, "bbox")
        scores.evaluate()
        scores.accumulate()
        scores.summarize()
    assert scores.stats[0] == pytest.approx(1.0)
    assert truth.getAnnIds(imgIds=[coco["images"][0]["id"]], catIds=[2]) == [
        annotation["id"] for annotation in coco["annotations"][:2]
    ]
    matched = {int(match) for image in scores.evalImgs if image for match in image["dtMatches"][0]}
    assert matched == {annotation["id"] for annotation in coco["annotations"]}, "float64 holds every id"


def test_summary_counts_images_and_objects():
    assert dataset_summary(built()) == [
        Count("train", None, 2, 4),
        Count("train", "person", 2, 2),
        Count("train", "car", 1, 2),
        Count("val", None, 2, 1),
        Count("val", "person", 0, 0),
        Count("val", "car", 1, 1),
    ]


def plant(path, value):
    """A dataset with one value replaced; `path` like annotations.0.bbox; the value DELETE removes the key."""
    coco = copy.deepcopy(built())
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    target = coco
    for part in parents:
        target = target[part]
    if value is DELETE:
        del target[last]
    else:
        target[last] = value
    return coco


DELETE = object()
NAN = float("nan")
FIRST_IMAGE, FIRST_BOX = built()["images"][0], built()["annotations"][0]


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        pytest.param("images", DELETE, "images: missing", id="no images"),
        pytest.param("videos", {}, "videos: missing or not a list", id="videos not a list"),
        pytest.param("categories", [1], "categories: missing or not a list of objects", id="categories of numbers"),
        pytest.param("annotations.1.id", FIRST_BOX["id"], "annotations.id", id="annotation id twice"),
        pytest.param("images.1.id", FIRST_IMAGE["id"], "images.id", id="image id twice"),
        pytest.param("annotations.1.id", 0, "id 0 is not an integer", id="annotation id 0"),
        pytest.param("annotations.1.id", -5, "id -5", id="id negative"),
        pytest.param("annotations.1.id", 2**53, "id 9007199254740992", id="id beyond 53 bits"),
        pytest.param("annotations.1.id", True, "id True", id="id a bool"),
        pytest.param("annotations.1.id", "7", "id '7'", id="id a string"),
        pytest.param("annotations.1.id", DELETE, "id None", id="no id"),
        pytest.param("annotations.1.image_id", 7, "image_id 7 is not in images", id="orphan image id"),
        pytest.param("annotations.1.category_id", 3, "category_id 3 is not in categories", id="orphan category id"),
        pytest.param("images.1.video_id", 3, "video_id 3 is not in videos", id="orphan video id"),
        pytest.param("images.1.video_id", [3], r"video_id \[3\] is not in videos", id="video id a list"),
        pytest.param("images.1.file_name", FIRST_IMAGE["file_name"], "images.file_name", id="file name twice"),
        pytest.param("images.1.file_name", "../../x.jpg", "not a plain relative", id="file name leaves the folder"),
        pytest.param("images.1.file_name", "/x.jpg", "not a plain relative", id="file name absolute"),
        pytest.param("images.1.file_name", "a\\b.jpg", "not a plain relative", id="file name with backslash"),
        pytest.param("images.1.file_name", 5, "not a plain relative", id="file name a number"),
        pytest.param("images.1.file_name", "other.jpg", "there is no file other.jpg", id="file missing"),
        pytest.param("images.1.width", 0, "width 0", id="width 0"),
        pytest.param("images.1.height", 48.0, "height 48.0", id="height a float"),
        pytest.param("images.0.width", DELETE, "width None", id="no width"),
        pytest.param("images.1.split", "", "split ''", id="split empty"),
        pytest.param("images.1.split", "test", "more than one split: test, train", id="video in two splits"),
        pytest.param("images.1.frame_id", 0, "frame", id="frame twice"),
        pytest.param("videos.1.name", "dQw4w9WgXcQ", "videos.name", id="video name twice"),
        pytest.param("categories.1.name", "person", "categories.name", id="class twice"),
        pytest.param("annotations.0.bbox", [1, 2, 10], "not four finite numbers", id="bbox of three"),
        pytest.param("annotations.0.bbox", [NAN, 2, 10, 20], "not four finite numbers", id="bbox NaN"),
        pytest.param("annotations.0.bbox", DELETE, "not four finite numbers", id="no bbox"),
        pytest.param("annotations.0.bbox", ["1", 2, 10, 20], "not four finite numbers", id="bbox of strings"),
        pytest.param("annotations.0.bbox", [1, 2, 0, 20], "has no area", id="bbox without width"),
        pytest.param("annotations.0.bbox", [1, 2, 10, -20], "has no area", id="bbox with negative height"),
        pytest.param("annotations.0.bbox", [-1, 2, 10, 20], "not inside its image of 64x48", id="bbox left of it"),
        pytest.param("annotations.0.bbox", [60, 2, 10, 20], "not inside its image", id="bbox too wide"),
        pytest.param("annotations.0.bbox", [1, 30, 10, 20], "not inside its image", id="bbox too high"),
        pytest.param("annotations.0.area", DELETE, "area None", id="no area"),
        pytest.param("annotations.0.area", 100, "area 100", id="area of another box"),
        pytest.param("annotations.0.iscrowd", DELETE, "iscrowd", id="no iscrowd"),
        pytest.param("annotations.0.segmentation", DELETE, "segmentation", id="no segmentation"),
        pytest.param("annotations.0.score", 1.1, "score 1.1", id="score above 1"),
        pytest.param("annotations.0.score", "high", "score 'high'", id="score a string"),
    ],
)
def test_every_planted_defect_is_found(path, value, problem):
    problems = check_coco(plant(path, value), files=set(FRAMES["file_name"]))
    assert problems
    assert any(re.search(problem, line) for line in problems), problems


def test_the_list_of_problems_is_limited():
    coco = built(boxes=pl.concat([BOXES] * 50))
    for annotation in coco["annotations"]:
        annotation["area"] = 0
    assert len(check_coco(coco)) == 100
    assert len(check_coco(coco, limit=3)) == 3


@pytest.mark.parametrize(
    ("url", "seconds", "expected"),
    [
        (YOUTUBE, 12.9, f"{YOUTUBE}&t=12s"),
        (f"{YOUTUBE}&list=PL1&t=99#x", 0.0, f"{YOUTUBE}&t=0s"),
        ("https://youtu.be/dQw4w9WgXcQ?si=abc", 61.5, f"{YOUTUBE}&t=61s"),
        ("https://m.youtube.com/shorts/dQw4w9WgXcQ", 3.0, f"{YOUTUBE}&t=3s"),
        ("https://www.youtube-nocookie.com/embed/dQw4w9WgXcQ", 3.0, f"{YOUTUBE}&t=3s"),
        ("https://www.youtube.com/watch?v=short", 3.0, "https://www.youtube.com/watch?v=short#t=3"),
        ("https://www.youtube.com/@channel/videos", 3.0, "https://www.youtube.com/@channel/videos#t=3"),
        ("https://youtu.be/", 3.0, "https://youtu.be/#t=3"),
        ("https://notyoutube.com/watch?v=dQw4w9WgXcQ", 3.0, "https://notyoutube.com/watch?v=dQw4w9WgXcQ#t=3"),
        ("https://a.org/b.mp4?x=1#old", 12.34567, "https://a.org/b.mp4?x=1#t=12.346"),
        ("http://a.org/b.mp4", -0.5, "http://a.org/b.mp4#t=0"),
        ("http://a.org/b.mp4", 3600.0, "http://a.org/b.mp4#t=3600"),
        ("http://a.org/b.mp4", 1e-9, "http://a.org/b.mp4#t=0"),
        ("/clips/a b#1.mp4", 1.5, "file:///clips/a%20b%231.mp4#t=1.5"),
        ("file:///clips/a.mp4", 100.0, "file:///clips/a.mp4#t=100"),
        ("https://[broken", 1.0, "https://[broken"),
        ("ytsearch:cats", 1.0, "ytsearch:cats"),
    ],
)
def test_links_open_at_the_second(url, seconds, expected):
    assert source_url(url, seconds) == expected
