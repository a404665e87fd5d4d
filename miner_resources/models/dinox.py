"""DINO-X, a paid web service: boxes with scores for anything that texts describe.

References: arXiv:2411.14347 and the source of dds-cloudapi-sdk 0.5.3. All texts for a picture go in one request, in
which points separate them; the service names with each box the text that it is for.
"""

import hashlib
import logging
import re
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, Final
from urllib.parse import urlsplit

import numpy as np

from miner_resources.errors import InvalidData, MinerError, NotConfigured
from miner_resources.images import encode_image, limit_side
from miner_resources.models.adapter import Asked, Batch, Detections, Query
from miner_resources.models.dinox_client import MODEL, Client, Pace
from miner_resources.models.dinox_http import StoppedError, read_key, read_url
from miner_resources.models.pictures import check_picture, check_prepared
from miner_resources.models.selection import select
from miner_resources.models.sources import ModelSource
from miner_resources.records import Floats, Rgb
from miner_resources.storage import stable_hash

SIDE_MAX: Final = 1536
"""Pixels; the service's own package shrinks larger pictures to that before it sends them."""
QUALITY: Final = 95
"""Of JPEG."""
AT_ONCE: Final = 4
AT_ONCE_MAX: Final = 16
ROUNDS: Final = 4
"""Pictures handed over for each place: as one is done the next takes it, and only at the end places are empty."""
REMEMBERED: Final = 512
"""Answers. When one picture of a batch fails, the stage hands the others over again; they are paid for already."""

_PIXELS_MAX: Final = 1e6
_log = logging.getLogger(__name__)


class DinoxDetector:
    """An `ObjectDetector` that needs no device.

    The service looks at all texts of a request together, so a score may depend a little on which others were asked
    for in the same picture.
    """

    def __init__(self, source: ModelSource, device: str, batch_size: int | str, *, pace: Pace | None = None) -> None:
        """Get ready to ask; nothing is sent yet.

        Args:
            source: of the catalogue.
            device: has no say.
            batch_size: pictures at once, up to `AT_ONCE_MAX`, or "auto".
            pace: patience and politeness.

        Raises:
            NotConfigured: there is no key, or the address cannot be used.
        """
        del device
        url = read_url()
        self._client: Client | None = Client(read_key(), url, pace or Pace())
        self._name = source.name
        self._places = min(max(1, batch_size), AT_ONCE_MAX) if isinstance(batch_size, int) else AT_ONCE
        self._answers: dict[str, Any] = {}
        self._unknown: set[str] = set()
        self.identity = stable_hash(source.identity, MODEL, SIDE_MAX, QUALITY)
        _log.warning("%s: frames are sent to %s, which charges for each", self._name, urlsplit(url).hostname)

    @staticmethod
    def check(name: str, device: str) -> None:
        """Find out before the work begins whether it can be done.

        Raises:
            NotConfigured: there is no key, or the address cannot be used.
        """
        del name, device
        read_url()
        read_key()

    @property
    def batch_size(self) -> int:
        """How many pictures to hand over at a time."""
        return self._places * ROUNDS

    def release(self) -> None:
        """Forget key and answers; no connection stays open between requests."""
        self._client = None
        self._answers.clear()

    def prepare(self, rgb: Rgb) -> Rgb:
        """The picture at the size at which it is sent: no side longer than `SIDE_MAX`.

        Raises:
            InvalidData: the array is not (H, W, 3) uint8, or has no pixels.
        """
        check_picture(rgb)
        return limit_side(rgb, SIDE_MAX)

    def detect(
        self, images: Batch, sizes: Sequence[tuple[int, int]], query: Query, asked: Asked | None = None
    ) -> list[Detections]:
        """Boxes with a score of at least the floor, best first; see `ObjectDetector`.

        If the service fails at one picture, the others are finished before the error comes, and cost nothing when they
        are handed over again. Other errors end the work at once.

        Raises:
            Unavailable: the service does not answer.
            InvalidData: the service fails at a picture, or a picture or an answer is not what it should be.
            NotConfigured: the key is not accepted, or a text has no words.
        """
        for image in images:
            check_prepared(image, self._name, fits=max(image.shape) <= SIDE_MAX)
        wanted = np.ones((len(images), len(query.prompts)), np.bool_) if asked is None else asked
        phrases = [_phrase(prompt) for prompt in query.prompts]
        work = list(zip(images, sizes, wanted, strict=True))
        texts = [
            ".".join(dict.fromkeys(phrase for phrase, wish in zip(phrases, row, strict=True) if wish))
            for _, _, row in work
        ]
        results = self._ask(list(zip(images, texts, strict=True)), query.floor)
        found: list[Detections] = []
        for result, (image, size, row) in zip(results, work, strict=True):
            scores, corners = self._candidates(result, phrases, row)
            scale = np.array([size[1] / image.shape[1], size[0] / image.shape[0]] * 2, np.float64)
            found.append(select(scores, (corners * scale).astype(np.float32), size, query, row))
        return found

    def _ask(self, work: Sequence[tuple[Rgb, str]], floor: float) -> list[Any]:
        """The service's result for each picture, in their order; an empty one where there is nothing to look for."""
        stop = threading.Event()
        pool = ThreadPoolExecutor(self._places, thread_name_prefix="dino-x")
        try:
            started = [pool.submit(self._answer, image, text, floor, stop) for image, text in work]
            wait(started)
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
        while len(self._answers) > REMEMBERED:
            del self._answers[next(iter(self._answers))]
        if errors := [error for future in started if (error := future.exception()) is not None]:
            raise min(errors, key=_rank)
        return [future.result() for future in started]

    def _answer(self, image: Rgb, text: str, floor: float, stop: threading.Event) -> Any:  # noqa: ANN401 (JSON)
        if not text:
            return {"objects": []}
        if self._client is None:
            raise InvalidData(f"{self._name} was released", remedy="report this bug")
        asked = f"{image.shape} {floor!r} {text}".encode()
        key = hashlib.blake2b(image.tobytes(), key=hashlib.blake2b(asked).digest()).hexdigest()
        if key in self._answers:
            return self._answers[key]
        try:
            answer = self._client.detect(encode_image(image, "jpg", QUALITY), text, floor, stop)
        except MinerError as error:
            if not isinstance(error, InvalidData):
                stop.set()
            raise
        self._answers[key] = answer
        return answer

    def _candidates(self, result: Any, phrases: Sequence[str], wanted: Asked) -> tuple[Floats, Floats]:  # noqa: ANN401
        """(Q, P) scores, each row with one text, and (Q, 4) corners in pixels of the picture that was sent."""
        owners: dict[str, list[int]] = {}
        for number in np.flatnonzero(wanted).tolist():
            owners.setdefault(phrases[number], []).append(number)
        rows: list[tuple[int, float, list[float]]] = []
        for each in _objects(result):
            category, score, corners = _parts(each)
            # With one text there is nothing to tell apart.
            texts = next(iter(owners.values())) if len(owners) == 1 else owners.get(_clean(category), [])
            if not texts:
                self._warn(category)
            rows += [(text, score, corners) for text in texts]
        scores = np.full((len(rows), len(phrases)), -1.0, np.float32)
        for row, (text, score, _) in enumerate(rows):
            scores[row, text] = score
        return scores, np.array([corners for _, _, corners in rows], np.float32).reshape(-1, 4)

    def _warn(self, category: str) -> None:
        shown = repr(category[:100])
        if shown not in self._unknown:
            self._unknown.add(shown)
            _log.warning("%s: boxes of %s are left out: nobody asked for that", self._name, shown)


def _rank(error: BaseException) -> int:
    """What ends everything comes before what is about one picture, and that before what follows from it."""
    return 2 if isinstance(error, StoppedError) else 1 if isinstance(error, InvalidData) else 0


def _clean(text: str) -> str:
    """A text as the service gets it, in small letters: points would split it, and angle brackets mark its own words."""
    return " ".join(re.sub(r"[.<>]", " ", text).lower().split())


def _phrase(prompt: str) -> str:
    if phrase := _clean(prompt):
        return phrase
    raise NotConfigured(f"the text {prompt!r} has no words to look for", remedy="correct it in classes")


def _objects(result: Any) -> list[Any]:  # noqa: ANN401
    objects = result.get("objects") if isinstance(result, dict) else None
    if not isinstance(objects, list):
        raise _malformed(f"{str(result)[:100]} has no list of objects")
    return objects


def _parts(each: Any) -> tuple[str, float, list[float]]:  # noqa: ANN401
    """Category, score and corners of one object."""
    if not isinstance(each, dict):
        raise _malformed(f"{str(each)[:100]} is no object")
    category, score, corners = each.get("category"), _number(each.get("score"), 1.0), each.get("bbox")
    if not isinstance(category, str) or score is None or score < 0:
        raise _malformed(f"{str(each)[:100]} has no category or no score from 0 to 1")
    numbers = [_number(corner, _PIXELS_MAX) for corner in corners] if isinstance(corners, list) else []
    real = [number for number in numbers if number is not None]
    if len(numbers) != 4 or len(real) != 4:
        raise _malformed(f"{str(each)[:100]} has no box")
    return category, score, real


def _number(value: object, most: float) -> float | None:
    """None for what is no number, and for infinity and NaN."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= most:
        return None
    return float(value)


def _malformed(what: str) -> InvalidData:
    return InvalidData(
        f"DINO-X gave a result that cannot be read: {what}",
        remedy="run again; if it stays, the service has changed: report this",
    )
