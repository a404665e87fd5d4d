"""A limit on the time that a video may take."""

import threading
from pathlib import Path

import pytest

from miner_resources.deadline import check_time, time_limit
from miner_resources.errors import TimedOut
from miner_resources.video_index import read_index
from miner_resources.video_reader import decode_frames
from tests.video_factory import write_video

OVER = 1e-9


def test_time_is_up_only_inside_of_the_limit() -> None:
    check_time()
    with time_limit("v", OVER, "extraction.timeout_s"):
        with pytest.raises(
            TimedOut, match=r"v takes longer than the 1e-09 s that extraction\.timeout_s allows"
        ) as found:
            check_time()
        assert "raise extraction.timeout_s" in found.value.remedy
        assert found.value.retryable, "another try may come through"
    check_time()


@pytest.mark.parametrize("seconds", [None, 3600])
def test_no_limit_and_a_generous_one_let_pass(seconds: float | None) -> None:
    with time_limit("v", seconds, "key"):
        check_time()


def test_a_limit_holds_for_its_own_thread() -> None:
    passed: list[bool] = []

    def other() -> None:
        check_time()
        passed.append(True)

    with time_limit("v", OVER, "key"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert passed == [True]


def test_reading_and_decoding_a_video_look_at_the_clock(tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.mp4", frames=20)
    index = read_index(video)
    with time_limit("v", OVER, "key"):
        with pytest.raises(TimedOut):
            read_index(video)
        with pytest.raises(TimedOut):
            next(decode_frames(video, index, [3]))
    assert len(list(decode_frames(video, index, [3]))) == 1
