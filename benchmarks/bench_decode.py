"""What do the frames of a video cost, beside decoding everything and beside the ffmpeg program?

    python benchmarks/bench_decode.py [--rounds 3] [--only h264 vp9] [--ffmpeg PATH]

CPU seconds (user and system, with children) for one frame a second of 20 seconds of 1080p, saved as JPEG. The methods
take turns, the median of the rounds counts, and a ratio is the median of the ratios within a round. Ours reads the
packet list, plans, decodes on one thread and saves at quality 95. "decode all + PIL" is what one writes with PyAV in
five lines, with its default threads; the column "one thread" has the same without them. Without an ffmpeg program
PyAV's own filter graph stands in for it. Frames are compared pixel by pixel with those of a full decode.
"""

import argparse
import io
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import av
import numpy as np
from clips import KINDS, clip

from benchmarks.harness import Result, clocked, finish, median_ratio
from miner_assets.logic.sampling import choose_frames
from miner_resources.images import encode_image
from miner_resources.video_index import read_index
from miner_resources.video_reader import decode_frames

AGAINST_ALL = {"h264": 0.60, "h264-nob": 0.80, "vp9": 0.65, "vp9-2s": 0.65, "av1": 0.70}
AGAINST_FFMPEG = {"h264": 0.60, "vp9": 0.80, "vp9-2s": 0.80, "av1": 0.90}
KEYFRAMES = 0.20


def ours(path: Path, folder: Path, strategy: str = "time") -> None:
    """As the stage `frames` does it."""
    index = read_index(path)
    for frame in decode_frames(path, index, choose_frames(index, strategy=strategy, seconds=1)):
        (folder / f"{frame.frame_index:06d}.jpg").write_bytes(encode_image(frame.rgb))


def keyframes(path: Path, folder: Path) -> None:
    """Only frames whose packet is a keyframe."""
    ours(path, folder, "keyframe")


def decode_all(path: Path, folder: Path, threads: int | None = None) -> None:
    """Decode everything, save the first frame of each second with Pillow."""
    following = Fraction(0)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        if threads:
            stream.codec_context.thread_count = threads
        for frame in container.decode(stream):
            if frame.pts * frame.time_base >= following:
                following += 1
                buffer = io.BytesIO()
                frame.to_image().save(buffer, "JPEG", quality=95)
                (folder / f"{frame.pts:06d}.jpg").write_bytes(buffer.getvalue())


def decode_all_one_thread(path: Path, folder: Path) -> None:
    """The same without the default threads."""
    decode_all(path, folder, threads=1)


def only_decode(path: Path, folder: Path) -> None:  # noqa: ARG001 (nothing is saved)
    """Decode everything on one thread and keep nothing."""
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for _ in container.decode(video=0):
            pass


def ffmpeg(program: str | None) -> Callable[[Path, Path], None]:
    """`ffmpeg -vf fps=1`, or the same filter in PyAV."""

    def run_program(path: Path, folder: Path) -> None:
        command = [str(program), "-v", "error", "-i", str(path), "-vf", "fps=1", "-q:v", "2", str(folder / "%06d.jpg")]
        subprocess.run(command, check=True)

    def run_graph(path: Path, folder: Path) -> None:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            graph = av.filter.Graph()
            graph.link_nodes(
                graph.add_buffer(template=stream), graph.add("fps", "1"), graph.add("buffersink")
            ).configure()
            for frame in container.decode(stream):
                graph.push(frame)
                for picture in _pulled(graph):
                    (folder / f"{picture.pts:06d}.jpg").write_bytes(encode_image(picture.to_ndarray(format="rgb24")))

    return run_program if program else run_graph


def _pulled(graph: av.filter.Graph) -> Iterator[av.VideoFrame]:
    while True:
        try:
            yield graph.vpull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return


def different(path: Path) -> int:
    """How many planned frames are missing or not those of a full decode, pixel for pixel."""
    index = read_index(path)
    wanted = set(choose_frames(index, strategy="time", seconds=1))
    planned = {frame.frame_index: frame.rgb for frame in decode_frames(path, index, sorted(wanted))}
    with av.open(str(path)) as container:
        full = {
            number: frame.to_ndarray(format="rgb24")
            for number, frame in enumerate(container.decode(video=0))
            if number in wanted
        }
    wrong = [number for number in full if number not in planned or not np.array_equal(planned[number], full[number])]
    return len(wrong) + len(planned.keys() - full.keys())


def measure(path: Path, rounds: int, program: str | None) -> dict[str, list[float]]:
    """CPU seconds of each method in each round."""
    methods = {
        "ours": ours,
        "all": decode_all,
        "one thread": decode_all_one_thread,
        "ffmpeg": ffmpeg(program),
        "decode only": only_decode,
        "keyframes": keyframes,
    }
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(rounds):
        for name, method in methods.items():
            with tempfile.TemporaryDirectory() as folder:
                seconds[name].append(clocked(lambda method=method, folder=folder: method(path, Path(folder))).cpu)
    return seconds


def results(name: str, rounds: int, program: str | None) -> Iterator[Result]:
    """All ratios of one clip."""
    path = clip(name)
    seconds = measure(path, rounds, program)
    label = KINDS[name].label
    ours_s, all_s, ffmpeg_s = (statistics.median(seconds[each]) for each in ("ours", "all", "ffmpeg"))
    yield Result(
        f"{label}: ours ÷ decode all + PIL",
        median_ratio(seconds, "ours", "all"),
        AGAINST_ALL[name],
        "at most",
        detail=f"{ours_s:.2f} and {all_s:.2f} s; beside one thread {median_ratio(seconds, 'ours', 'one thread'):.2f}",
    )
    yield Result(
        f"{label}: ours ÷ {'`ffmpeg -vf fps=1`' if program else 'PyAV with the filter fps=1'}",
        median_ratio(seconds, "ours", "ffmpeg"),
        AGAINST_FFMPEG.get(name),
        "at most",
        detail=f"{ffmpeg_s:.2f} s",
    )
    yield Result(
        f"{label}: `keyframe` ÷ decode only", median_ratio(seconds, "keyframes", "decode only"), KEYFRAMES, "at most"
    )
    yield Result(f"{label}: frames that differ from a full decode", different(path), 0, "at most")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS), help="these clips only")
    parser.add_argument("--ffmpeg", default=shutil.which("ffmpeg"), help="the program; default: the one on PATH")
    given = parser.parse_args()
    finish([result for name in given.only for result in results(name, given.rounds, given.ffmpeg)])


if __name__ == "__main__":
    main()
