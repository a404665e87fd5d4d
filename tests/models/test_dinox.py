"""DINO-X against a service on the loopback interface: what is sent, what comes back, and every way it can fail."""

import json
import logging
import ssl
import threading
import time
import traceback
from collections import deque
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import numpy as np
import pytest
import trustme

from miner_resources.errors import InvalidData, MinerError, NotConfigured, Unavailable
from miner_resources.models.adapter import Query
from miner_resources.models.catalogue import DETECTION
from miner_resources.models.dinox import AT_ONCE, SIDE_MAX, DinoxDetector
from miner_resources.models.dinox_client import Pace
from miner_resources.models.loading import Settings, load_detector
from miner_resources.models.sources import resolve
from tests.models.dinox_server import KEY, LOOK, SUBMIT, DinoxServer, Fault

PROMPTS = ("A red circle", "dog", "the blue square")
LABELS = ("circle", "dog", "square")
QUERY = Query(PROMPTS, LABELS, 0.1)
ONE = Query(("dog",), ("dog",), 0.1)
HASTY = Pace(attempts=4, first_pause=0.001, first_look=0.001, longest_look=0.002, interval=0.0, request=20.0)


def hasty(**other):
    return Pace(**{**vars(HASTY), **other})


@pytest.fixture
def server(monkeypatch):
    with DinoxServer().running() as running:
        monkeypatch.setenv("VIDEO_MINER_DINOX_URL", running.url)
        monkeypatch.setenv("DDS_CLOUDAPI_TOKEN", KEY)
        yield running


@pytest.fixture
def make(server):
    """Detectors, released at the end."""
    made = []

    def build(pace=HASTY, batch_size="auto"):
        made.append(DinoxDetector(resolve("dino-x", DETECTION), "auto", batch_size, pace=pace))
        return made[-1]

    yield build
    for model in made:
        model.release()


@pytest.fixture
def model(make):
    return make()


def noise(count, shape=(60, 100), seed=1):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for _ in range(count)]


def spot(box, shape=(60, 100)):
    """White on black; `box` is x1, y1, x2, y2."""
    picture = np.zeros((*shape, 3), np.uint8)
    picture[box[1] : box[3], box[0] : box[2]] = 255
    return picture


def look(model, images, query=QUERY, asked=None, size=(60, 100)):
    return model.detect(images, [size] * len(images), query, asked)


def same(one, other):
    return len(one) == len(other) and all(
        np.array_equal(a.boxes.xyxy, b.boxes.xyxy)
        and np.array_equal(a.boxes.scores, b.boxes.scores)
        and (a.boxes.labels, a.prompts) == (b.boxes.labels, b.prompts)
        for a, b in zip(one, other, strict=True)
    )


def fails(server, kind, *faults):
    server.faults[kind] = deque(faults)


def thing(category="dog", score=0.5, bbox=(10, 10, 30, 40)):
    return {"category": category, "score": score, "bbox": list(bbox)}


def gives(server, *objects):
    server.answer = lambda picture, phrase: list(objects)


def test_what_is_sent_is_what_the_service_asks_for(model, server):
    look(model, [spot((20, 10, 50, 40))], Query(PROMPTS, LABELS, 0.05))
    (seen,) = server.asked()
    assert np.abs(seen.picture.astype(int) - spot((20, 10, 50, 40))).mean() < 1
    assert {name: value for name, value in seen.body.items() if name != "image"} == {
        "model": "DINO-X-1.0",
        "prompt": {"type": "text", "text": "a red circle.dog.the blue square"},
        "targets": ["bbox"],
        "bbox_threshold": 0.05,
        "iou_threshold": 0.8,
    }
    assert seen.headers["token"] == KEY
    assert seen.headers["content-type"] == "application/json"
    assert all(look.headers["token"] == KEY for look in server.asked(LOOK))


def test_boxes_have_scores_and_their_texts_and_come_best_first(model):
    (found,) = look(model, [spot((20, 10, 50, 40))])
    assert set(found.prompts) == set(PROMPTS)
    assert [LABELS[PROMPTS.index(prompt)] for prompt in found.prompts] == list(found.boxes.labels)
    assert found.boxes.xyxy.dtype == found.boxes.scores.dtype == np.float32
    assert (np.diff(found.boxes.scores) <= 0).all()
    np.testing.assert_array_equal(found.boxes.xyxy, [[20, 10, 50, 40]] * 3)


def test_a_task_is_asked_for_until_it_is_done(model, server):
    server.looks = 7
    assert len(look(model, [spot((20, 10, 50, 40))])[0].boxes) == 3
    assert (len(server.asked(SUBMIT)), len(server.asked(LOOK))) == (1, 8)


@pytest.mark.parametrize("shape", [(1080, 1920), (2400, 1000), (3001, 77), (1200, 1535)], ids=str)
def test_large_pictures_are_sent_smaller_and_their_boxes_come_back_in_their_own_pixels(model, server, shape):
    height, width = shape
    box = [width // 5, height // 4, width // 2, height // 5 * 4]
    prepared = model.prepare(spot(box, shape))
    (found,) = look(model, [prepared], ONE, size=shape)
    (seen,) = server.asked()
    assert seen.picture.shape == prepared.shape
    assert max(prepared.shape) == min(max(shape), SIDE_MAX)
    np.testing.assert_allclose(found.boxes.xyxy, [box], atol=1.5 * max(1, max(shape) / SIDE_MAX))


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (40, 2000), (5000, 3)], ids=str)
def test_any_shape_of_picture_works(model, shape):
    prepared = model.prepare(noise(1, shape)[0])
    assert (prepared.dtype, prepared.ndim, prepared.shape[2]) == (np.uint8, 3, 3)
    (found,) = look(model, [prepared], size=shape)
    assert len(found.boxes)
    assert (found.boxes.xyxy[:, 2:] > found.boxes.xyxy[:, :2]).all()
    assert (found.boxes.xyxy <= [shape[1], shape[0]] * 2).all()


def test_results_come_in_the_order_of_the_pictures_and_do_not_depend_on_company(make):
    images = [*noise(6), *noise(3, (30, 20)), *(spot((n, n, n + 20, n + 9)) for n in range(4))]
    together = look(make(), images)
    assert same(together, [row for image in images for row in look(make(), [image])])
    assert same(together[::-1], look(make(), images[::-1]))
    assert len({row.boxes.scores.tobytes() for row in together}) >= len(images) - 4


@pytest.mark.parametrize("batch_size", ["auto", 1, 3])
def test_pictures_are_looked_at_side_by_side_but_no_more_than_set(make, server, batch_size):
    look(make(hasty(first_look=0.05), batch_size), noise(10))
    assert server.most_working == (AT_ONCE if batch_size == "auto" else batch_size)


def test_a_batch_is_larger_than_what_goes_at_once_and_both_have_a_limit(make):
    assert make(batch_size=2).batch_size == 8
    assert make(batch_size=0).batch_size == 4
    assert make(batch_size=1000).batch_size == 64


def test_only_what_is_asked_for_is_asked(model, server):
    asked = np.array([[True, False, True], [False, False, False], [False, True, False]])
    some = look(model, noise(3), asked=asked)
    assert sorted(server.texts()) == ["a red circle.the blue square", "dog"]
    assert [set(found.boxes.labels) for found in some] == [{"circle", "square"}, set(), {"dog"}]


def test_no_pictures_or_texts_need_no_service(model, server):
    assert model.detect([], [], QUERY) == []
    assert model.detect([], [], QUERY, np.zeros((0, 3), np.bool_)) == []
    found = look(model, noise(2), Query((), (), 0.1)) + look(model, noise(1), asked=np.zeros((1, 3), np.bool_))
    assert [(len(each.boxes), each.boxes.scores.shape) for each in found] == [(0, (0,))] * 3
    assert server.seen == []


def test_a_size_is_needed_for_every_picture(model):
    with pytest.raises(ValueError, match="zip"):
        model.detect(noise(2), [(9, 9)], QUERY)


@pytest.mark.parametrize(
    "wrong",
    [np.zeros((4, 6)), np.zeros((4, 6, 3)), np.zeros((0, 6, 3), np.uint8), np.zeros((4, 6, 4), np.uint8)],
    ids=lambda wrong: f"{wrong.shape}-{wrong.dtype}",
)
def test_what_is_no_picture_is_refused(model, server, wrong):
    with pytest.raises(InvalidData, match="must be"):
        model.prepare(wrong)
    with pytest.raises(InvalidData, match="takes uint8"):
        look(model, [*noise(1), wrong])
    assert server.seen == []


def test_a_picture_that_was_not_prepared_is_refused(model):
    with pytest.raises(InvalidData, match="call prepare"):
        look(model, [np.zeros((10, SIDE_MAX + 1, 3), np.uint8)])


def test_texts_are_sent_so_that_they_stay_one_and_come_back_as_they_were(model, server):
    prompts = ("St. Bernard  dog.", "DOG", "dog", "<prompt_free>")
    (found,) = look(model, [spot((20, 10, 50, 40))], Query(prompts, ("big", "dog", "animal", "free"), 0.1))
    assert server.texts() == ["st bernard dog.dog.prompt_free"]
    assert set(zip(found.prompts, found.boxes.labels, strict=True)) == set(
        zip(prompts, ("big", "dog", "animal", "free"), strict=True)
    )


def test_a_text_without_words_is_an_error_before_anything_is_paid(model, server):
    with pytest.raises(NotConfigured, match=r"'\.'"):
        look(model, noise(1), Query(("dog", "."), ("dog", "point"), 0.1))
    assert server.seen == []


def test_categories_are_known_in_any_spelling(model, server):
    gives(server, thing(" THE Blue  square. ", 0.9, (0, 0, 5, 5)), thing("Dog", 0.8, (50, 0, 60, 5)))
    (found,) = look(model, noise(1))
    assert list(zip(found.boxes.labels, found.prompts, strict=True)) == [("square", PROMPTS[2]), ("dog", "dog")]


def test_what_nobody_asked_for_is_left_out_and_told_once(model, server, caplog):
    gives(server, thing("wolf\n", 0.9), thing("dog", 0.8, (50, 0, 60, 5)))
    found = look(model, noise(3))
    assert [each.boxes.labels for each in found] == [("dog",)] * 3
    assert caplog.text.count(r"boxes of 'wolf\n' are left out") == 1


def test_with_one_text_every_box_is_of_it(model, server):
    gives(server, thing("a dog"))
    assert look(model, noise(1), ONE)[0].prompts == ("dog",)


def test_boxes_are_cut_to_the_picture_and_weak_ones_and_repetitions_dropped(model, server):
    gives(
        server,
        thing(score=0.9, bbox=(-5, -5, 20, 20)),
        thing(score=0.8, bbox=(-5, -4, 20, 20)),
        thing(score=0.7, bbox=(80, 40, 500, 500)),
        thing(score=0.6, bbox=(30, 30, 30, 40)),
        thing(score=0.6, bbox=(40, 30, 30, 40)),
        thing(score=0.6, bbox=(200, 10, 220, 40)),
        thing(score=0.29, bbox=(40, 10, 60, 40)),
        thing(score=0.3, bbox=(70, 1, 80, 4)),
    )
    (found,) = look(model, noise(1), Query(("dog",), ("dog",), 0.3))
    np.testing.assert_array_equal(found.boxes.xyxy, [[0, 0, 20, 20], [80, 40, 100, 60], [70, 1, 80, 4]])
    np.testing.assert_allclose(found.boxes.scores, [0.9, 0.7, 0.3])


def test_an_object_that_several_texts_of_a_class_find_is_found_once(model, server):
    server.answer = lambda picture, phrase: [thing(phrase, 0.9 if phrase == "hound" else 0.5)]
    (found,) = look(model, noise(1), Query(("dog", "hound", "cat"), ("dog", "dog", "cat"), 0.1))
    assert list(zip(found.prompts, found.boxes.labels, strict=True)) == [("hound", "dog"), ("cat", "cat")]


@pytest.mark.parametrize("floor", [-1.0, 0.0, 1.1])
def test_the_service_gets_a_floor_that_it_can_have(model, server, floor):
    look(model, noise(1), Query(("dog",), ("dog",), floor))
    assert server.asked()[0].body["bbox_threshold"] == min(max(floor, 0), 1)


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        "dog",
        [],
        {},
        thing(category=None),
        thing(category=3),
        thing(score=None),
        thing(score="0.5"),
        thing(score=1.5),
        thing(score=-0.1),
        thing(score=NAN),
        thing(score=True),
        thing(bbox=()),
        thing(bbox=(1, 2, 3)),
        thing(bbox=(1, 2, 3, 4, 5)),
        thing(bbox=(1, 2, NAN, 4)),
        thing(bbox=(1, 2, INF, 4)),
        thing(bbox=(1, 2, 10**400, 4)),
        thing(bbox=(1, 2, "3", 4)),
        {"category": "dog", "score": 0.5, "bbox": {"x1": 1}},
        {"category": "dog", "score": 0.5, "bbox": "1234"},
    ],
    ids=str,
)
def test_an_object_of_another_form_is_an_error_and_not_a_lost_box(model, server, wrong):
    gives(server, thing(), wrong)
    with pytest.raises(InvalidData, match="cannot be read"):
        look(model, noise(1), ONE)


@pytest.mark.parametrize("result", [None, [], "nothing", {}, {"objects": None}, {"objects": {"a": 1}}], ids=str)
def test_a_result_of_another_form_is_an_error_and_not_an_empty_picture(model, server, result):
    server.result = lambda picture: {"status": "success", "result": result}
    with pytest.raises(InvalidData, match="no list of objects"):
        look(model, noise(1), ONE)


GARBAGE = [
    b"<html>busy</html>",
    b"",
    b"[1, 2",
    b"\xff\xfe",
    b"[" * 100_000,
    {"code": 0},
    {"code": 0, "data": None},
    {"code": 0, "data": [1]},
    {"code": 0, "data": {"task_uuid": 5, "status": "finish"}},
    {"code": 0, "data": {"task_uuid": "../../x", "status": None}},
    b'{"code": 0, "data": {"task_uuid": "a',
]


@pytest.mark.parametrize("kind", [SUBMIT, LOOK])
@pytest.mark.parametrize(
    "fault",
    [
        *(Fault(body=body) for body in GARBAGE),
        Fault(500, b"oops"),
        Fault(502),
        Fault(503, headers={"Retry-After": "0"}),
        Fault(503, headers={"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}),
        Fault(500, headers={"Retry-After": "soon"}),
        Fault(408),
        Fault(429),
        Fault(429, headers={"Retry-After": "0"}),
        Fault(400, {"code": 202001, "msg": "try again"}),
        Fault(200, {"code": 202001, "msg": "try again"}),
        Fault(hangs_up=True),
        Fault(body=b"abc", headers={"Content-Length": "50", "Connection": "close"}),
    ],
    ids=lambda fault: f"{fault.status}-{str(fault.body)[:20]}-{fault.headers}-{fault.hangs_up}",
)
def test_a_service_in_trouble_is_asked_again(make, server, kind, fault):
    fails(server, kind, fault, fault)
    model = make(hasty(request=2.0) if "Content-Length" in fault.headers else HASTY)
    assert len(look(model, [spot((20, 10, 50, 40))], ONE)[0].boxes) == 1
    assert server.faults[kind] == deque()
    assert server.paid == 1


@pytest.mark.parametrize("kind", [SUBMIT, LOOK])
@pytest.mark.parametrize(
    "fault", [Fault(500, b"the disk is full"), Fault(429, b"the disk is full")], ids=["500", "429"]
)
def test_a_service_that_stays_in_trouble_is_an_error_that_may_be_tried_again_later(model, server, kind, fault):
    fails(server, kind, *[fault] * 50)
    with pytest.raises(Unavailable, match=r"DINO-X did not answer: HTTP (500|429) the disk is full") as caught:
        look(model, noise(1), ONE)
    assert caught.value.retryable
    assert len(server.faults[kind]) == 50 - HASTY.attempts


@pytest.mark.parametrize("body", GARBAGE, ids=lambda body: str(body)[:30])
def test_an_answer_that_stays_garbage_is_an_error(model, server, body):
    fails(server, SUBMIT, *[Fault(body=body)] * 9)
    with pytest.raises(Unavailable, match="cannot be read"):
        look(model, noise(1), ONE)


def test_an_endless_answer_is_an_error(model, server, monkeypatch):
    monkeypatch.setattr("miner_resources.models.dinox_http.ANSWER_MAX", 100_000)
    fails(server, SUBMIT, *[Fault(body=b"x" * 200_000)] * 9)
    with pytest.raises(Unavailable, match="more than 100000 bytes"):
        look(model, noise(1), ONE)


def test_without_a_service_there_is_an_error(monkeypatch):
    with DinoxServer().running() as gone:
        pass
    monkeypatch.setenv("VIDEO_MINER_DINOX_URL", gone.url)
    monkeypatch.setenv("DDS_CLOUDAPI_TOKEN", KEY)
    model = load_detector("dino-x", Settings())
    model.release()
    model = DinoxDetector(resolve("dino-x", DETECTION), "cpu", 1, pace=HASTY)
    with pytest.raises(Unavailable, match="refused"):
        look(model, noise(1), ONE)


@pytest.mark.parametrize("fault", [Fault(delay_s=1.0), Fault(body=b" " * 40, drip_s=0.05)], ids=["silent", "drip"])
def test_a_slow_answer_has_a_deadline(make, server, fault):
    fails(server, SUBMIT, fault, fault)
    with pytest.raises(Unavailable, match=r"no answer within 0\.2 s"):
        look(make(hasty(request=0.2, attempts=2)), noise(1), ONE)


def test_a_task_that_is_never_done_has_a_deadline(make, server):
    server.looks = 10**6
    with pytest.raises(Unavailable, match=r"not ready after 0\.2 s"):
        look(make(hasty(task=0.2)), noise(1), ONE)


def test_a_picture_whose_submission_got_through_unheard_is_paid_once(model, server):
    fails(server, SUBMIT, Fault(502, works=True), Fault(hangs_up=True, works=True))
    look(model, noise(1), ONE)
    assert len(server.asked()) == 3
    assert len({seen.headers["idempotency-key"] for seen in server.asked()}) == 1
    assert server.paid == 1


def test_equal_pictures_are_two_tasks(make, server):
    look(make(batch_size=1), noise(1), ONE)
    look(make(batch_size=1), noise(1), ONE)
    assert len({seen.headers["idempotency-key"] for seen in server.asked()}) == 2


@pytest.fixture
def pauses(monkeypatch):
    """`Event.wait` notes pauses instead of making them; threads that start wait without a limit."""
    noted = []
    wait = threading.Event.wait

    def recorded(event, timeout=None):
        if timeout is None:
            return wait(event)
        noted.append(timeout)
        return False

    monkeypatch.setattr(threading.Event, "wait", recorded)
    return noted


def test_pauses_double_and_differ(make, server, pauses):
    server.looks = 0
    fails(server, SUBMIT, *[Fault(500)] * 5)
    look(make(hasty(first_pause=1.0, longest_pause=6.0, attempts=9, first_look=0.0)), noise(1), ONE)
    made = [pause for pause in pauses if pause > 0.1]
    assert len(made) == 5
    for pause, full in zip(made, (1, 2, 4, 6, 6), strict=True):
        assert full / 2 <= pause <= full
    assert len({pause / full for pause, full in zip(made, (1, 2, 4, 6, 6), strict=True)}) == 5


def in_seconds(seconds):
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("header", "low", "high"),
    [
        (lambda: "7", 6.9, 7),
        (lambda: in_seconds(30), 20, 30),
        (lambda: in_seconds(-30), 0, 0),
        (lambda: in_seconds(30).replace("GMT", "-0000"), 20, 30),
        (lambda: "86400", 59.9, 60),
        (lambda: in_seconds(86400), 59.9, 60),
        (lambda: "9" * 500, 59.9, 60),
        (lambda: "Wed, 32 Oct 2015 27:28:00 GMT", 0.4, 1),
    ],
    ids=["seconds", "date", "past", "unzoned", "long", "late", "absurd", "nonsense"],
)
def test_the_service_says_how_long_to_wait_within_reason(make, server, pauses, status, header, low, high):
    server.looks = 0
    fails(server, SUBMIT, Fault(status, headers={"Retry-After": header()}))
    look(make(hasty(first_pause=1.0, first_look=0.0)), noise(1), ONE)
    assert low <= pauses[1] <= high


def test_a_limit_that_is_met_holds_back_everyone_and_other_trouble_does_not(make, server, pauses):
    fails(server, SUBMIT, Fault(429, headers={"Retry-After": "50"}))
    look(make(), noise(6), ONE)
    assert sum(pause > 45 for pause in pauses) > 10
    pauses.clear()
    fails(server, SUBMIT, Fault(503, headers={"Retry-After": "50"}))
    look(make(), noise(6), ONE)
    assert sum(pause > 45 for pause in pauses) == 1


def test_requests_of_all_threads_keep_their_distance(make, server):
    server.looks = 1
    model = make(hasty(interval=0.02))
    began = time.monotonic()
    look(model, noise(8), ONE)
    requests = len(server.seen)
    assert requests == 8 * 3
    assert time.monotonic() - began >= (requests - 1) * 0.02


@pytest.mark.parametrize("kind", [SUBMIT, LOOK])
@pytest.mark.parametrize(
    ("fault", "error", "says"),
    [
        (Fault(401, {"msg": "no"}), NotConfigured, "does not accept DDS_CLOUDAPI_TOKEN: HTTP 401 no"),
        (Fault(403, b"forbidden"), NotConfigured, "does not accept DDS_CLOUDAPI_TOKEN: HTTP 403 forbidden"),
        (Fault(402, {"msg": "no credit"}), NotConfigured, "wants to be paid: HTTP 402 no credit"),
        (Fault(400, {"code": 7, "msg": "bad\n  prompt"}), InvalidData, "HTTP 400 bad prompt"),
        (Fault(404, b"x" * 5000), InvalidData, "HTTP 404 x{200} →"),
        (Fault(413), InvalidData, "HTTP 413"),
        (Fault(302, headers={"Location": "/v2/task_status/other"}), InvalidData, "HTTP 302"),
        (Fault(200, {"code": 10001, "msg": "image too dark"}), InvalidData, r"image too dark \(code 10001\)"),
        (Fault(200, {"code": "E1"}), InvalidData, r"code E1"),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Fault) else None,
)
def test_a_refusal_is_final(model, server, kind, fault, error, says):
    fails(server, kind, *[fault] * 9)
    with pytest.raises(error, match=says) as caught:
        look(model, noise(1), ONE)
    assert caught.value.remedy
    assert len(server.faults[kind]) == 8


def test_a_token_that_the_service_does_not_know_is_told_by_its_variable(server, monkeypatch, make):
    monkeypatch.setenv("DDS_CLOUDAPI_TOKEN", "dds-other-secret")
    with pytest.raises(NotConfigured, match="does not accept DDS_CLOUDAPI_TOKEN") as caught:
        look(make(), noise(1), ONE)
    assert "dds-other-secret" not in str(caught.value)


def failing_on_dark(picture):
    if picture.mean() < 10:
        return {"status": "failed", "error": "out of luck"}
    return {"status": "success", "result": {"objects": [thing()]}}


def test_a_picture_at_which_the_service_fails_loses_no_other(model, server):
    server.result = failing_on_dark
    images = [*noise(3), np.zeros((60, 100, 3), np.uint8), *noise(3, seed=2)]
    with pytest.raises(InvalidData, match="failed: out of luck"):
        look(model, images, ONE)
    assert server.paid == 7
    others = look(model, images[:3] + images[4:], ONE)
    assert [len(found.boxes) for found in others] == [1] * 6
    assert server.paid == 7, "the others are not paid twice"
    server.result = None
    assert len(look(model, images, ONE)) == 7
    assert server.paid == 8, "what failed is asked again"


def test_answers_are_remembered_for_the_same_question_only(model, server, monkeypatch):
    (image,) = noise(1)
    look(model, [image], ONE)
    look(model, [image], ONE)
    assert server.paid == 1
    look(model, [image], QUERY)
    look(model, [image], Query(("dog",), ("dog",), 0.2))
    look(model, [image.transpose(1, 0, 2)], ONE)
    look(model, [image.reshape(100, 60, 3)], ONE)
    assert server.paid == 5
    monkeypatch.setattr("miner_resources.models.dinox.REMEMBERED", 2)
    look(model, noise(5, seed=3), ONE)
    look(model, [image], ONE)
    assert server.paid == 11


def test_after_an_error_that_is_final_for_all_nothing_more_is_sent(make, server):
    fails(server, SUBMIT, Fault(401))
    server.answer = lambda picture, phrase: []
    with pytest.raises(NotConfigured):
        look(make(hasty(first_look=0.01), batch_size=2), noise(60), ONE)
    assert len(server.asked()) < 30


def test_an_error_ends_the_patience_of_the_others(make, server):
    fails(server, SUBMIT, Fault(503), Fault(503), Fault(401, delay_s=0.2))
    began = time.monotonic()
    with pytest.raises(NotConfigured):
        look(make(hasty(first_pause=100.0, longest_pause=100.0)), noise(3), ONE)
    assert time.monotonic() - began < 15


def test_what_ends_everything_is_told_before_what_is_about_one_picture(make, server):
    fails(server, SUBMIT, Fault(400), Fault(401))
    with pytest.raises(NotConfigured):
        look(make(batch_size=1), noise(4), ONE)


def test_it_is_loaded_by_name_and_says_where_frames_go(server, caplog):
    model = load_detector("dino-x", Settings(device="cuda:7", precision="bf16", batch_size=3))
    assert isinstance(model, DinoxDetector)
    assert model.batch_size == 12
    assert "dino-x: frames are sent to 127.0.0.1, which charges for each" in caplog.text
    assert load_detector("dino-x", Settings()).identity == model.identity
    assert server.seen == []


def test_a_released_detector_asks_no_more_and_may_be_released_again(make, server):
    model = make()
    look(model, noise(1), ONE)
    seen = len(server.seen)
    model.release()
    model.release()
    with pytest.raises(InvalidData, match="released"):
        look(model, noise(1), ONE)
    assert len(server.seen) == seen


@pytest.mark.parametrize("key", [None, "", "  \n"])
def test_without_a_key_there_is_a_remedy(server, monkeypatch, key):
    monkeypatch.delenv("DDS_CLOUDAPI_TOKEN")
    if key is not None:
        monkeypatch.setenv("DDS_CLOUDAPI_TOKEN", key)
    with pytest.raises(NotConfigured, match="DDS_CLOUDAPI_TOKEN is not set") as caught:
        load_detector("dino-x", Settings())
    assert "https://cloud.deepdataspace.com" in caught.value.remedy


@pytest.mark.parametrize("key", ["dds secret", "dds\nsecret", "dds-sécret", "dds\x00secret"])
def test_a_key_that_cannot_be_sent_is_refused_and_not_quoted(server, key):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.environ", {"DDS_CLOUDAPI_TOKEN": key})
        with pytest.raises(NotConfigured, match="has characters") as caught:
            load_detector("dino-x", Settings())
    assert key not in str(caught.value)


def test_a_key_from_a_file_may_end_with_a_line_break(make, monkeypatch):
    monkeypatch.setenv("DDS_CLOUDAPI_TOKEN", KEY + "\n")
    assert len(look(make(), noise(1))) == 1


@pytest.mark.parametrize(
    "url",
    [
        "api.deepdataspace.com",
        "ftp://example.com",
        "file:///etc/passwd",
        "https://",
        "https://user:word@example.com",
        "https://example.com/?q=1",
        "https://example.com/#a",
        "https://exa mple.com",
        "https://[::1",
        "https://example.com:99999",
        "http://example.com",
        "http://10.0.0.1:8080",
    ],
)
def test_an_address_to_which_no_key_should_go_is_refused(monkeypatch, url):
    monkeypatch.setenv("VIDEO_MINER_DINOX_URL", url)
    monkeypatch.setenv("DDS_CLOUDAPI_TOKEN", KEY)
    with pytest.raises(NotConfigured, match="VIDEO_MINER_DINOX_URL"):
        load_detector("dino-x", Settings())


def test_an_address_may_have_a_path_and_the_usual_one_is_the_services_own(server, make, monkeypatch, caplog):
    monkeypatch.setenv("VIDEO_MINER_DINOX_URL", f"{server.url}/proxy/")
    with pytest.raises(InvalidData, match="HTTP 404 no such path"):
        look(make(), noise(1), ONE)
    monkeypatch.delenv("VIDEO_MINER_DINOX_URL")
    make()
    assert "frames are sent to api.deepdataspace.com" in caplog.text


@pytest.mark.parametrize("trusted", [True, False], ids=["known", "unknown"])
def test_the_service_must_prove_who_it_is(server, make, monkeypatch, tmp_path, trusted):
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    monkeypatch.setenv("VIDEO_MINER_DINOX_URL", server.url.replace("http:", "https:"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    if trusted:
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        assert len(look(make(), noise(1), ONE)[0].boxes) == 1
    else:
        with pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED"):
            look(make(), noise(1), ONE)
        assert server.seen == []


def test_a_proxy_is_not_used_for_this_machine(make, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert len(look(make(), noise(1))) == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault(401, {"msg": f"bad token {KEY}"}),
        Fault(400, b"x" * 190 + KEY.encode()),
        Fault(500, json.dumps({"msg": KEY}).encode()),
        Fault(429, f"slow down {KEY}".encode()),
        Fault(200, {"code": KEY, "msg": KEY}),
        Fault(200, {"code": 0, "data": {"status": KEY}}),
        Fault(200, {"code": 0, "data": {"status": "failed", "error": KEY}}),
        Fault(200, {"code": 0, "data": {"status": "success", "result": KEY}}),
        Fault(200, {"code": 0, "data": {"status": "success", "result": {"objects": [thing(KEY, 2)]}}}),
        Fault(302, headers={"Location": f"http://{KEY}.invalid/"}),
        Fault(200, headers={"Content-Length": KEY}),
        Fault(hangs_up=True),
    ],
    ids=range(12),
)
@pytest.mark.parametrize("kind", [SUBMIT, LOOK])
def test_the_key_is_never_shown(make, server, caplog, kind, fault):
    fails(server, kind, *[fault] * 9)
    caplog.set_level(logging.DEBUG)
    model = make(hasty(request=1.0))
    with pytest.raises(MinerError) as caught:
        look(model, noise(1), ONE)
    shown = "".join(traceback.format_exception(caught.value))
    assert KEY not in shown
    assert KEY[:12] not in shown
    assert KEY not in repr(model) + str(model) + repr(model._client) + caplog.text + model.identity
