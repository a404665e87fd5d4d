"""Models as Dagster resources: loaded on first use, kept for the step, released after it.

Dagster tears resources down after the step where each step has its own process, and after the run where steps share
one; there the next stage's model takes the place of the last. So a process holds at most one model at a time: two would
rarely fit on one GPU, and stages run one after another.
"""

import threading
from collections.abc import Callable
from typing import Any

import dagster as dg
from pydantic import Field

from miner_resources.models.adapter import Adapter, ImageEmbedder, ObjectDetector, TextImageModel


class ModelSlot:
    """The one model that a process holds.

    Attributes:
        loads: how often a model was loaded in this process.
    """

    def __init__(self) -> None:
        self.loads = 0
        self._held: tuple[tuple[object, ...], Adapter] | None = None
        self._lock = threading.Lock()

    def get(self, key: tuple[object, ...], load: Callable[[], Any]) -> Any:  # noqa: ANN401 (kinds differ by key)
        """The model of that key, loading it in place of another one if need be."""
        with self._lock:
            if self._held is None or self._held[0] != key:
                self._release()
                self._held = (key, load())
                self.loads += 1
            return self._held[1]

    @property
    def empty(self) -> bool:
        """Whether no model is held."""
        return self._held is None

    def release(self) -> None:
        """Let go of the model, if there is one."""
        with self._lock:
            self._release()

    def _release(self) -> None:
        if self._held is not None:
            (_, model), self._held = self._held, None
            model.release()


SLOT = ModelSlot()


class _Models(dg.ConfigurableResource[Any]):
    """What the three resources share."""

    device: str = Field(default="auto", description="auto | cpu | cuda | cuda:N | mps")
    precision: str = Field(default="auto", description="auto | fp32 | bf16 | fp16")
    compile_models: bool = Field(default=False, description="compile models: minutes at the start of each run")

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:  # noqa: ARG002 (Dagster's hook)
        """Runs after the step, or after the run where its steps share a process; also when they failed."""
        SLOT.release()

    def _get(self, kind: str, name: str, batch_size: int | str, **how: str) -> Any:  # noqa: ANN401 (kinds differ)
        # torch and transformers take seconds to import: not before a model is wanted.
        from miner_resources.models import loading

        settings = loading.Settings(
            device=self.device,
            precision=self.precision,
            batch_size=batch_size,
            compiled=self.compile_models,
            **how,
        )
        load = getattr(loading, kind)
        return SLOT.get((kind, name, settings), lambda: load(name, settings))


class TextImageModels(_Models):
    """Scores pictures against texts."""

    def get(self, name: str, batch_size: int | str = "auto") -> TextImageModel:
        """The model of that name, loaded."""
        return self._get("load_text_image_model", name, batch_size)


class ImageEmbedders(_Models):
    """Turns pictures into vectors."""

    def get(self, name: str, batch_size: int | str = "auto", resize: str = "squash") -> ImageEmbedder:
        """The model of that name, loaded."""
        return self._get("load_embedder", name, batch_size, resize=resize)


class ObjectDetectors(_Models):
    """Finds boxes."""

    def get(self, name: str, batch_size: int | str = "auto") -> ObjectDetector:
        """The model of that name, loaded."""
        return self._get("load_detector", name, batch_size)
