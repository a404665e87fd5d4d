"""Moondream against a pretend package: what is asked, what comes back, and every way in which it can fail."""

import http.client
import importlib
import io
import json
import logging
import sys
import threading
import time
import traceback
from email.message import Message
from urllib.error import HTTPError, URLError

import numpy as np
import pytest

from miner_resources.errors import InvalidData, MinerError, NotConfigured, Unavailable
from miner_resources.models import moondream_clients
from miner_resources.models.adapter import Query
from miner_resources.models.loading import Settings, load_detector
from tests.models.fake_moondream import install

KEY = "md-secret-0123456789"
PROMPTS = ("red circle", "dog", "the blue square")
LABELS = ("circle", "dog", "square")
QUERY = Query(PROMPTS, LABELS, 0.3)
CLOUD = Settings(device="cpu")
SIZE = (100, 200)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The pretend package, imported; a key is set and nothing waits."""
    install(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.split(".")[0] == "moondream"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setenv("MOONDREAM_API_KEY", KEY)
    monkeypatch.setattr(moondream_clients, "FIRST_PAUSE_S", 0.001)
    yield importlib.import_module("moondream")
    sys.modules.pop("moondream", None)


@pytest.fixture
def cloud(package):
    model = load_detector("moondream3", CLOUD)
    yield model
    model.release()


@pytest.fixture
def gpus(package, monkeypatch):
    """Two pretend GPUs."""
    monkeypatch.setattr("miner_resources.models.moondream.devices", lambda _: ("cuda:0", "cuda:1"))


def grey(*levels, shape=(20, 40, 3)):
    return [np.full(shape, level, np.uint8) for level in levels]


def look(model, images, query=QUERY, asked=None, size=SIZE):
    return model.detect(images, [size] * len(images), query, asked)


def same(one, other):
    return len(one) == len(other) and all(
        np.array_equal(a.boxes.xyxy, b.boxes.xyxy) and (a.boxes.labels, a.prompts) == (b.boxes.labels, b.prompts)
        for a, b in zip(one, other, strict=True)
    )


def box(x_min=0.1, y_min=0.2, x_max=0.5, y_max=0.6):
    return {"x_min": x_min, "y_min": y_min, "x_max": x_max, "y_max": y_max}


def refusal(code, body="", reason="No", **headers):
    message = Message()
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    return HTTPError("https://api.moondream.ai/v1/detect", code, reason, message, io.BytesIO(body.encode()))


def failing(package, *errors, then=None):
    """Each request meets the next error, later ones the answer `then`; returns the list of what is left."""
    left = list(errors)

    def answer(mean, phrase):
        if left:
            raise left.pop(0)
        return then or {"objects": [box()]}

    package.answer = answer
    return left


ONE = Query(("dog",), ("dog",), 0)


def test_boxes_are_pixels_in_the_order_of_texts_and_of_the_model(cloud):
    (found,) = look(cloud, grey(128))
    assert found.boxes.scores is None
    assert found.boxes.xyxy.dtype == np.float32
    expected = []
    for phrase in PROMPTS:
        top = len(phrase) % 7 * 10
        expected += [[160, top, 180, top + 10], [50, top, 100, top + 25]]
    np.testing.assert_allclose(found.boxes.xyxy, expected, atol=1e-4)
    assert found.prompts == tuple(np.repeat(PROMPTS, 2))
    assert found.boxes.labels == tuple(np.repeat(LABELS, 2))


@pytest.mark.parametrize("name", ["moondream3", "moondream2"])
def test_results_come_in_the_order_of_the_pictures_and_do_not_depend_on_company(package, gpus, name):
    model = load_detector(name, Settings())
    images = grey(*range(0, 250, 6))
    together = look(model, images)
    assert same(together, [row for image in images for row in look(model, [image])])
    assert same(together[::-1], look(model, images[::-1]))
    assert len({row.boxes.xyxy.tobytes() for row in together}) == len(images)
    model.release()


def test_pictures_are_looked_at_side_by_side_but_no_more_than_set(package):
    model = load_detector("moondream3", Settings(device="cpu", batch_size=3))
    look(model, grey(*range(1, 240, 7)))
    assert package.most_working == 3


def test_a_picture_is_encoded_once_and_each_text_asked_once(cloud, package):
    twice = Query((*PROMPTS, "dog"), (*LABELS, "animal"), 0)
    (found,) = look(cloud, grey(9), twice)
    assert package.encoded == [(40, 20)]
    assert [phrase for _, _, phrase, _ in package.asked] == list(PROMPTS)
    assert {"dog", "animal"} <= set(found.boxes.labels)
    assert all(settings["temperature"] == 0 for *_, settings in package.asked)


def test_only_what_is_asked_for_is_asked(cloud, package):
    images = grey(10, 20, 30)
    everything = look(cloud, images)
    package.asked.clear()
    package.encoded.clear()
    asked = np.array([[True, False, True], [False, False, False], [False, True, False]])
    some = look(cloud, images, asked=asked)
    assert sorted((mean, phrase) for _, mean, phrase, _ in package.asked) == [
        (10, "red circle"),
        (10, "the blue square"),
        (30, "dog"),
    ]
    assert len(package.encoded) == 2
    assert set(some[0].boxes.labels) == {"circle", "square"}
    assert len(some[1].boxes) == 0
    assert np.array_equal(some[2].boxes.xyxy, everything[2].boxes.xyxy[2:4])


def test_without_scores_also_where_there_are_no_boxes(cloud, package):
    package.answer = lambda mean, phrase: {"objects": []}
    cases = [
        look(cloud, grey(1)),
        look(cloud, grey(1), Query((), (), 0)),
        look(cloud, grey(1), asked=np.zeros((1, 3), np.bool_)),
    ]
    assert [(len(found.boxes), found.boxes.scores) for (found,) in cases] == [(0, None)] * 3


def test_no_pictures_give_no_rows_and_a_size_is_needed_for_each(cloud):
    assert cloud.detect([], [], QUERY) == []
    with pytest.raises(ValueError, match="zip"):
        cloud.detect(grey(1, 2), [SIZE], QUERY)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (40, 2000)], ids=str)
def test_any_shape_of_picture_works(cloud, package, shape):
    rgb = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    prepared = cloud.prepare(rgb)
    assert np.array_equal(prepared, rgb)
    (found,) = look(cloud, [prepared], size=shape)
    assert package.encoded == [(shape[1], shape[0])]
    assert len(found.boxes)
    assert (found.boxes.xyxy <= [shape[1], shape[0]] * 2).all()


def test_pictures_of_several_shapes_may_come_together(cloud):
    images = [grey(40, shape=(30, 20, 3))[0], *grey(50), grey(60, shape=(5, 90, 3))[0]]
    assert same(look(cloud, images), [row for image in images for row in look(cloud, [image])])


@pytest.mark.parametrize("wrong", [np.zeros((4, 6)), np.zeros((4, 6, 3)), np.zeros((0, 6, 3), np.uint8)])
def test_what_is_no_picture_is_refused(cloud, package, wrong):
    with pytest.raises(InvalidData, match="must be"):
        cloud.prepare(wrong)
    with pytest.raises(InvalidData, match="takes uint8"):
        look(cloud, [*grey(1), wrong])
    assert package.asked == []


def test_boxes_are_cut_to_the_picture_and_what_is_no_box_is_dropped(cloud, package):
    nan, inf = float("nan"), float("inf")
    package.answer = lambda mean, phrase: {
        "objects": [
            box(-0.2, -1, 0.3, 0.4),
            box(0.5, 0.2, 0.5, 0.6),
            box(0.6, 0.2, 0.5, 0.6),
            box(0.1, 0.9, 0.5, 0.6),
            box(nan, 0.2, 0.5, 0.6),
            box(0.1, 0.2, inf, 0.6),
            box(1.1, 0.2, 1.5, 0.6),
            box(0.5, 0.5, 1.7, 1),
        ]
    }
    (found,) = look(cloud, grey(1), ONE)
    np.testing.assert_allclose(found.boxes.xyxy, [[0, 0, 60, 40], [100, 50, 200, 100]], atol=1e-4)


def test_an_object_that_several_texts_of_a_class_find_is_found_once(cloud, package):
    package.answer = lambda mean, phrase: {"objects": [box(), box(0.11)]}
    (found,) = look(cloud, grey(1), Query(("dog", "hound", "cat"), ("dog", "dog", "cat"), 0))
    assert list(zip(found.prompts, found.boxes.labels, strict=True)) == [("dog", "dog"), ("cat", "cat")]


@pytest.mark.parametrize(
    "answer",
    [
        {},
        None,
        [],
        {"objects": None},
        {"objects": {"x_min": 0}},
        {"objects": [[0.1, 0.2, 0.3, 0.4]]},
        {"objects": [{"x_min": 0.1, "y_min": 0.2, "x_max": 0.4}]},
        {"objects": [box(x_min=None)]},
        {"objects": [box(x_min="0.1")]},
        {"objects": [None]},
    ],
    ids=str,
)
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_an_answer_of_another_form_is_an_error_and_not_an_empty_picture(package, monkeypatch, answer, device):
    monkeypatch.setattr("miner_resources.models.moondream.devices", lambda setting: (setting,))
    model = load_detector("moondream3", Settings(device=device))
    package.answer = lambda mean, phrase: answer
    with pytest.raises(InvalidData, match="cannot be read"):
        look(model, grey(1), ONE)
    assert len(package.asked) == 1


def test_on_gpus_each_has_its_engine_and_the_key_is_not_needed(package, gpus, monkeypatch):
    monkeypatch.delenv("MOONDREAM_API_KEY")
    model = load_detector("moondream3", Settings(batch_size=5))
    assert [client.model for client in package.clients] == ["moondream3-preview"] * 2
    assert [client.runtime_config for client in package.clients] == [
        {"device": "cuda:0", "max_batch_size": 5},
        {"device": "cuda:1", "max_batch_size": 5},
    ]
    look(model, grey(1, 2, 3, 4))
    assert {id(client) for client, *_ in package.asked} == {id(client) for client in package.clients}
    assert model.batch_size == 5 * 2 * 4


def test_without_a_gpu_it_is_the_cloud_and_the_log_says_so(package, caplog):
    with caplog.at_level(logging.DEBUG):
        model = load_detector("moondream2", CLOUD)
    (client,) = package.clients
    assert (type(client).__name__, client.model, client.api_key) == ("CloudVL", "moondream2", KEY)
    assert "frames are sent to Moondream's cloud" in caplog.text
    assert KEY not in caplog.text
    assert model.batch_size > 0


def test_identity_tells_models_and_places_apart(package, monkeypatch):
    monkeypatch.setattr("miner_resources.models.moondream.devices", lambda setting: (setting,))
    names = [(name, device) for name in ("moondream2", "moondream3") for device in ("cpu", "cuda")]
    identities = [load_detector(name, Settings(device=device)).identity for name, device in names]
    assert len(set(identities)) == 4
    again = load_detector("moondream3", Settings(device="cuda", batch_size=2))
    assert again.identity == identities[-1]


def test_release_closes_the_engines_once_and_may_be_repeated(package, gpus):
    model = load_detector("moondream3", Settings())
    model.release()
    model.release()
    assert [client.closed for client in package.clients] == [1, 1]


def test_an_engine_that_does_not_end_well_does_not_fail_the_step(package, gpus, monkeypatch, caplog):
    model = load_detector("moondream3", Settings())

    def close():
        raise RuntimeError("engine is stuck")

    monkeypatch.setattr(package.clients[1], "close", close)
    model.release()
    assert package.clients[0].closed == 1
    assert "engine is stuck" in caplog.text


def test_a_missing_package_is_told_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "moondream", None)
    with pytest.raises(NotConfigured, match=r"pip install 'video-miner\[moondream\]'"):
        load_detector("moondream3", CLOUD)


@pytest.mark.parametrize("key", [None, "", "  \n"])
def test_without_gpu_and_key_both_ways_are_told(package, monkeypatch, key):
    if key is None:
        monkeypatch.delenv("MOONDREAM_API_KEY")
    else:
        monkeypatch.setenv("MOONDREAM_API_KEY", key)
    with pytest.raises(NotConfigured) as caught:
        load_detector("moondream3", CLOUD)
    assert "NVIDIA GPU" in caught.value.remedy
    assert "MOONDREAM_API_KEY" in caught.value.remedy
    assert package.clients == []


@pytest.mark.parametrize("key", ["md secret", "md\nsecret", "md-sécret", "md\x00secret"])
def test_a_key_that_cannot_be_sent_is_refused_and_not_quoted(package, monkeypatch, key):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.environ", {"MOONDREAM_API_KEY": key})
        with pytest.raises(NotConfigured, match="has characters") as caught:
            load_detector("moondream3", CLOUD)
    assert key not in str(caught.value)


def test_a_key_from_a_file_may_end_with_a_line_break(package, monkeypatch):
    monkeypatch.setenv("MOONDREAM_API_KEY", KEY + "\n")
    load_detector("moondream3", CLOUD)
    assert package.clients[0].api_key == KEY


def test_a_device_that_is_not_there_is_not_replaced_by_the_cloud(package):
    with pytest.raises(NotConfigured, match="cuda:7"):
        load_detector("moondream3", Settings(device="cuda:7"))
    assert package.clients == []


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (RuntimeError("Photon needs CUDA"), NotConfigured, "does not start on cuda:1.*Photon needs CUDA"),
        (RuntimeError("CUDA out of memory"), NotConfigured, "does not fit into the memory of cuda:1"),
        (ImportError("no kestrel_native"), NotConfigured, "does not start.*kestrel_native"),
        (TypeError("unexpected keyword"), NotConfigured, "does not start.*unexpected"),
        (ConnectionError("offline"), Unavailable, "weights of moondream3 cannot be fetched"),
    ],
    ids=str,
)
def test_an_engine_that_does_not_start_closes_the_ones_before_it(package, gpus, error, kind, says):
    def fail(config):
        if config["device"] == "cuda:1":
            raise error

    package.fails_to_start = fail
    with pytest.raises(kind, match=says):
        load_detector("moondream3", Settings())
    assert [client.closed for client in package.clients] == [1]


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (RuntimeError("CUDA out of memory. Tried"), NotConfigured, "ran out of memory on cuda:0"),
        (RuntimeError("Photon client is closed"), Unavailable, "failed on cuda:0: Photon client is closed"),
        (ValueError("object must be a non-empty string"), InvalidData, "refuses 'dog'"),
    ],
    ids=str,
)
def test_errors_of_the_engine_are_typed_and_not_tried_again(package, gpus, error, kind, says):
    model = load_detector("moondream3", Settings())
    failing(package, error)
    with pytest.raises(kind, match=says):
        look(model, grey(1), ONE)
    assert len(package.asked) == 1
    assert len(look(model, grey(1), ONE)) == 1


def test_a_picture_that_cannot_be_encoded_is_told(cloud):
    with pytest.raises(InvalidData, match="70000 x 1"):
        look(cloud, grey(1, shape=(1, 70000, 3)))


@pytest.mark.parametrize(
    "errors",
    [
        [refusal(429), refusal(429, Retry_After="0"), refusal(503, Retry_After="Wed, 21 Oct 2026 07:28:00 GMT")],
        [URLError(OSError("Name or service not known")), ConnectionResetError("reset"), TimeoutError()],
        [http.client.IncompleteRead(b""), http.client.RemoteDisconnected("gone")],
        [json.JSONDecodeError("Expecting value", "<html>", 0)],
    ],
    ids=str,
)
def test_a_busy_cloud_is_asked_again(cloud, package, errors):
    left = failing(package, *errors)
    (found,) = look(cloud, grey(1), ONE)
    assert len(found.boxes) == 1
    assert left == []


def test_a_cloud_that_stays_away_is_an_error_that_may_be_tried_again_later(cloud, package):
    left = failing(package, *[URLError("no route")] * 50)
    with pytest.raises(Unavailable, match=r"moondream3.*no route") as caught:
        look(cloud, grey(1), ONE)
    assert caught.value.retryable
    assert len(left) == 50 - moondream_clients.ATTEMPTS


def test_pauses_grow_and_the_service_has_its_say(cloud, package, monkeypatch):
    monkeypatch.setattr(moondream_clients, "FIRST_PAUSE_S", 1.0)
    pauses = []
    monkeypatch.setattr(threading.Event, "wait", _recorded(pauses, threading.Event.wait))
    failing(package, *(refusal(500) for _ in range(3)), refusal(429, Retry_After="7"))
    look(cloud, grey(1), ONE)
    assert pauses[3] == 7
    for pause, full in zip(pauses[:3], (1, 2, 4), strict=True):
        assert full / 2 <= pause <= full


def _recorded(pauses, wait):
    """`Event.wait` that notes pauses instead of making them; threads that start wait without a limit."""

    def recorded(event, timeout=None):
        if timeout is None:
            return wait(event)
        pauses.append(timeout)
        return False

    return recorded


def test_a_service_that_wants_to_be_left_alone_for_long_is(cloud, package):
    failing(package, *[refusal(429, "quota of the day", Retry_After="3600")] * 9)
    with pytest.raises(Unavailable, match="quota of the day"):
        look(cloud, grey(1), ONE)
    assert len(package.asked) == 1


@pytest.mark.parametrize(
    ("code", "kind", "says"),
    [
        (401, NotConfigured, "does not accept MOONDREAM_API_KEY"),
        (403, NotConfigured, "does not accept MOONDREAM_API_KEY"),
        (402, NotConfigured, "wants to be paid"),
        (400, InvalidData, "HTTP 400 .*unknown model"),
        (404, InvalidData, "HTTP 404"),
    ],
)
def test_a_refusal_is_final(cloud, package, code, kind, says):
    failing(package, *[refusal(code, '{"error": {"message": "unknown model"}}')] * 9)
    with pytest.raises(kind, match=says):
        look(cloud, grey(1), ONE)
    assert len(package.asked) == 1


def test_after_an_error_nothing_more_is_asked(package):
    model = load_detector("moondream3", Settings(device="cpu", batch_size=1))

    def answer(mean, phrase):
        if mean == 0:
            raise refusal(401)
        time.sleep(0.02)
        return {"objects": []}

    package.answer = answer
    with pytest.raises(NotConfigured):
        look(model, grey(*range(50)), ONE)
    assert len(package.asked) < 25


def test_an_error_ends_the_patience_of_the_others(package, monkeypatch):
    monkeypatch.setattr(moondream_clients, "FIRST_PAUSE_S", 60.0)
    model = load_detector("moondream3", CLOUD)

    def answer(mean, phrase):
        if mean:
            raise URLError("no route")
        time.sleep(0.05)
        raise refusal(401)

    package.answer = answer
    began = time.monotonic()
    with pytest.raises(NotConfigured):
        look(model, grey(0, 1, 2), ONE)
    assert time.monotonic() - began < 5


def test_a_connection_that_died_in_silence_has_a_deadline(cloud, package, monkeypatch):
    monkeypatch.setattr(moondream_clients, "DEADLINE_S", 0.05)
    monkeypatch.setattr(moondream_clients, "ATTEMPTS", 2)
    silence = threading.Event()
    package.answer = lambda mean, phrase: silence.wait()
    with pytest.raises(Unavailable, match="no answer within"):
        look(cloud, grey(1), ONE)
    silence.set()


@pytest.mark.parametrize(
    "error",
    [
        refusal(401, f'{{"error": "bad key {KEY}"}}'),
        refusal(400, "x" * 190 + KEY),
        refusal(404, reason=f"No {KEY}"),
        URLError(f"cannot send {KEY}"),
        http.client.BadStatusLine(KEY),
    ],
    ids=["401", "400", "404", "URLError", "BadStatusLine"],
)
def test_the_key_is_never_shown(cloud, package, caplog, error):
    failing(package, *[error] * 50)
    with caplog.at_level(logging.DEBUG), pytest.raises(MinerError) as caught:
        look(cloud, grey(1), ONE)
    shown = "".join(traceback.format_exception(caught.value))
    assert KEY not in shown
    assert KEY[:12] not in shown
    assert KEY not in repr(cloud) + str(cloud) + caplog.text
