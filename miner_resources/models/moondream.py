"""Moondream 2 and 3 through the package `moondream`: boxes for one phrase at a time, without scores.

Reference: https://docs.moondream.ai and the source of the package, version 2.6.1. On an NVIDIA GPU or Apple silicon
its engine Photon runs the model and fetches the weights itself; elsewhere frames go to Moondream's cloud, if there is a
key. Photon tells Moondream how much it was used (counts, the host's name, the GPU), not what for.
"""

import importlib
import logging
import math
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, Final

import numpy as np
from huggingface_hub.errors import (
    HTTPError,  # pyright: ignore[reportPrivateImportUsage] (the base of transport errors; its package is not ours)
    LocalEntryNotFoundError,
)

from miner_resources.errors import NotConfigured, Unavailable
from miner_resources.models.adapter import Asked, Batch, Detections, Query
from miner_resources.models.moondream_clients import API_KEY, Client, Cloud, Photon, malformed, read_key
from miner_resources.models.pictures import check_picture, check_prepared
from miner_resources.models.runtime import devices, free_memory, is_out_of_memory, too_large
from miner_resources.models.sources import ModelSource
from miner_resources.models.unscored import select_unscored
from miner_resources.records import Floats, Rgb
from miner_resources.storage import stable_hash

MODELS: Final = {"moondream3": "moondream3-preview", "moondream2": "moondream2"}
"""Name in the catalogue → the package's name for it."""
INSTALL: Final = "pip install 'video-miner[moondream]'"

PHOTON_AT_ONCE: Final = 8
"""Requests in a batch of the engine, whose default of 4 is for conversations (not measured on a GPU yet)."""
CLOUD_AT_ONCE: Final = 4
"""An account may make 2 requests a second, one with credit 10."""
ROUNDS: Final = 4
"""Pictures handed over for each place: as one is done the next takes it, and only at the end places are empty."""

_CORNERS: Final = ("x_min", "y_min", "x_max", "y_max")

_log = logging.getLogger(__name__)


class MoondreamDetector:
    """An `ObjectDetector`. Pictures are looked at side by side, the phrases for one picture in turn.

    Photon computes in its own number format, whatever `precision` says, and in batches of its own making: of a model
    in half precision the last digits of a box may depend on what else was under way.
    """

    def __init__(self, source: ModelSource, device: str, batch_size: int | str) -> None:
        """Start the engine, or get ready for the cloud.

        Args:
            source: of the catalogue.
            device: "auto", "cuda", "cuda:N" or "mps" for Photon; "cpu", or "auto" where there is no GPU, for the cloud.
            batch_size: pictures at once on each device, or "auto".

        Raises:
            NotConfigured: the package, the device, or the key is missing, or the engine does not start.
            Unavailable: weights cannot be fetched.
        """
        package, on = _package(source.name), devices(device)
        model, local = MODELS[source.name], on[0] != "cpu"
        usual = PHOTON_AT_ONCE if local else CLOUD_AT_ONCE
        at_once = max(1, batch_size) if isinstance(batch_size, int) else usual
        self.identity = stable_hash(source.identity, model, "photon" if local else "cloud")
        self._name = source.name
        self._places = at_once * len(on)
        self._closing = ExitStack()
        self._clients: list[Client] = []
        if local:
            with ExitStack() as started:
                for each in on:
                    self._clients.append(_photon(package, source.name, each, at_once))
                    started.callback(self._clients[-1].close)
                self._closing = started.pop_all()
        else:
            key = read_key(source.name)
            self._clients.append(Cloud(package.vl(api_key=key, model=model), source.name, key))
            _log.warning("%s: frames are sent to Moondream's cloud, because %s is set", source.name, API_KEY)

    @staticmethod
    def check(name: str, device: str) -> None:
        """Find out before the work begins whether it can be done; the arguments are those of a source and settings.

        Raises:
            NotConfigured: the package, the device, or the key is missing.
        """
        _package(name)
        if devices(device)[0] == "cpu":
            read_key(name)

    @property
    def batch_size(self) -> int:
        """How many pictures to hand over at a time."""
        return self._places * ROUNDS

    def release(self) -> None:
        """Stop the engine and free the device's memory."""
        self._clients.clear()
        try:
            self._closing.close()
        except (RuntimeError, TimeoutError, OSError) as error:
            _log.warning("%s: the engine did not end well: %s", self._name, error)
        free_memory()

    def prepare(self, rgb: Rgb) -> Rgb:
        """The picture as it is: the model cuts it up itself.

        Raises:
            InvalidData: the array is not (H, W, 3) uint8, or has no pixels.
        """
        check_picture(rgb)
        return rgb

    def detect(
        self, images: Batch, sizes: Sequence[tuple[int, int]], query: Query, asked: Asked | None = None
    ) -> list[Detections]:
        """Boxes without scores in the order of the texts; see `ObjectDetector`.

        Raises:
            Unavailable: the cloud or the engine does not answer.
            InvalidData: a picture or an answer is not what it should be.
            NotConfigured: the key is not accepted, or the device's memory is too small.
        """
        for image in images:
            check_prepared(image, self._name, fits=True)
        wanted = np.ones((len(images), len(query.prompts)), np.bool_) if asked is None else asked
        work = list(zip(images, sizes, wanted, strict=True))
        stop = threading.Event()
        pool = ThreadPoolExecutor(self._places, thread_name_prefix="moondream")
        try:
            started = [
                pool.submit(self._look, self._clients[place % len(self._clients)], *each, query, stop)
                for place, each in enumerate(work)
            ]
            return [future.result() for future in started]
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)

    def _look(
        self, client: Client, image: Rgb, size: tuple[int, int], wanted: Asked, query: Query, stop: threading.Event
    ) -> Detections:
        phrases = [phrase if wish else None for phrase, wish in zip(query.prompts, wanted, strict=True)]
        found: dict[str | None, Floats] = {None: np.zeros((0, 4), np.float32)}
        encoded = client.encode(image) if wanted.any() else None
        for phrase in phrases:
            if phrase is not None and phrase not in found:
                found[phrase] = _in_pixels(client.detect(encoded, phrase, stop), size, self._name)
        return select_unscored([found[phrase] for phrase in phrases], size, query)


def _package(name: str) -> Any:  # noqa: ANN401 (it has no types for us)
    try:
        return importlib.import_module("moondream")
    except ImportError as error:
        raise NotConfigured(f"{name} needs the package moondream: {error}", remedy=INSTALL) from error


def _photon(package: Any, name: str, device: str, at_once: int) -> Photon:  # noqa: ANN401
    try:
        client = package.photon(MODELS[name], device=device, max_batch_size=at_once)
    except (HTTPError, LocalEntryNotFoundError, ConnectionError, TimeoutError) as error:
        raise Unavailable(
            f"the weights of {name} cannot be fetched: {error}",
            remedy="run again with a network; if its repository is gated, accept the licence there and set HF_TOKEN",
        ) from error
    except (RuntimeError, OSError, ImportError, ValueError, TypeError, AttributeError) as error:
        if isinstance(error, RuntimeError) and is_out_of_memory(error):
            raise too_large(name, device) from error
        raise NotConfigured(
            f"{name} does not start on {device}: {type(error).__name__}: {error}",
            remedy=f"it needs an NVIDIA GPU (Ampere or newer) or Apple silicon, and {INSTALL}; or set device: cpu and "
            f"{API_KEY}: then frames are sent to Moondream's cloud",
        ) from error
    return Photon(client, name, device)


def _in_pixels(objects: Any, size: tuple[int, int], name: str) -> Floats:  # noqa: ANN401
    """(K, 4) from corners in 0..1, without those that are no box."""
    if not isinstance(objects, list):
        raise malformed(name, f"objects of type {type(objects).__name__}")
    corners = [_corners(each, name) for each in objects]
    height, width = size
    real = [box for box in corners if all(map(math.isfinite, box)) and box[2] > box[0] and box[3] > box[1]]
    return (np.array(real, np.float64).reshape(-1, 4) * (width, height, width, height)).astype(np.float32)


def _corners(each: Any, name: str) -> tuple[float, ...]:  # noqa: ANN401
    try:
        values = [each[corner] for corner in _CORNERS]
    except (KeyError, TypeError, IndexError) as error:
        raise malformed(name, f"{str(each)[:100]} is no box") from error
    if not all(isinstance(value, int | float) for value in values):
        raise malformed(name, f"{str(each)[:100]} is no box")
    return tuple(map(float, values))
