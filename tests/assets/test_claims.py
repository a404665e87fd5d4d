"""Claims on videos between processes."""

import multiprocessing
import os
import signal
from multiprocessing.connection import Connection
from pathlib import Path

from miner_assets.claims import Claims

FORK = multiprocessing.get_context("spawn")


def claim(path: Path, video_id: str, pipe: Connection) -> None:
    """Take a video, say whether that worked, and keep it until told to let go."""
    with Claims(path) as claims:
        pipe.send(claims.take(video_id))
        pipe.recv()


def test_a_video_is_claimed_by_one_process_until_it_lets_go_or_dies(tmp_path: Path) -> None:
    path = tmp_path / "claims" / "extract"
    ours, theirs = FORK.Pipe()
    other = FORK.Process(target=claim, args=(path, "a", theirs))
    other.start()
    assert ours.recv()
    with Claims(path) as claims:
        assert not claims.take("a")
        assert claims.take("b")
        assert other.pid is not None
        os.kill(other.pid, signal.SIGKILL)
        other.join()
        assert claims.take("a")

        third = FORK.Process(target=claim, args=(path, "b", theirs))
        third.start()
        assert not ours.recv()
        ours.send(None)
        third.join()
        claims.give_back("b")
        fourth = FORK.Process(target=claim, args=(path, "b", theirs))
        fourth.start()
        assert ours.recv()
        ours.send(None)
        fourth.join()
    assert path.stat().st_size == 0
