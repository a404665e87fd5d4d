"""Search by text or by frame, one question after another in a thread of its own: it may have to load a model first."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from miner_assets.workspace import Workspace
from miner_resources.errors import MinerError

if TYPE_CHECKING:
    from miner_assets.frame_search import FrameSearch

PATIENCE_S: Final = 4.0
"""How long a page waits for an answer before it says that one is on its way."""
REMEMBERED: Final = 64
TOP: Final = 120


@dataclass(frozen=True)
class Hit:
    """A frame that was found, with its similarity."""

    frame_id: str
    score: float


@dataclass(frozen=True)
class Answer:
    """Hits, best first; or None while they are being looked for; or why there are none.

    Attributes:
        trouble: what is missing, and what to do about it.
    """

    hits: Sequence[Hit] | None = None
    trouble: tuple[str, str] | None = None


class TextSearch:
    """Asks `FrameSearch`, which is made with the first question."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="explore-search")
        self._asked: OrderedDict[tuple[object, ...], Future[list[Hit]]] = OrderedDict()
        self._lock = threading.Lock()
        self._search: FrameSearch | None = None

    def ask(self, kind: str, value: str, version: object, *, patience_s: float = PATIENCE_S) -> Answer:
        """Frames like a text or another frame.

        Args:
            kind: "text" or "frame".
            value: the text, or a `frame_id`.
            version: changes when the project does, which makes old answers void.
            patience_s: how long to wait for the answer.
        """
        key = (kind, value, version)
        with self._lock:
            asked = self._asked.get(key)
            if asked is None:
                asked = self._asked[key] = self._worker.submit(self._look, kind, value)
            self._asked.move_to_end(key)
            while len(self._asked) > REMEMBERED:
                self._asked.popitem(last=False)[1].cancel()
        try:
            return Answer(asked.result(patience_s))
        except NotYet:
            return Answer()
        except MinerError as error:
            with self._lock:
                self._asked.pop(key, None)  # what was missing may be there the next time
            return Answer(trouble=(error.message, error.remedy))

    def _look(self, kind: str, value: str) -> list[Hit]:
        if self._search is None:
            from miner_assets.frame_search import FrameSearch  # Dagster and more, which take seconds to import

            self._search = FrameSearch(self._workspace)
        matches = self._search.by_text(value, TOP) if kind == "text" else self._search.by_image(value, TOP)
        return [Hit(match.frame_id, match.score) for match in matches]
