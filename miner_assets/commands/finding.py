"""What a check of `video-miner doctor` says; `doctor.py` prints it, and `doctor_web.py` has more checks."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from miner_resources.config import MinerConfig


@dataclass(frozen=True)
class Finding:
    """One line: `state` is ok, warn or fail."""

    state: str
    what: str
    remedy: str = ""


Check = Callable[["MinerConfig"], Iterator[Finding]]
