"""Reads files that may be bombs, in a process of its own: `python -m tests.hostile.reader FILE...`.

One JSON line for each: `result` (what it is, if it could be read), or `error`, `message` and `remedy` of the typed
error; and at the end the most memory that the process ever had, in bytes.
"""

import json
import resource
import sys
import time
from pathlib import Path

from miner_resources.errors import MinerError
from miner_resources.images import read_image
from miner_resources.video_index import read_index
from miner_resources.video_reader import decode_frames, probe

PICTURES = (".png", ".jpg", ".webp", ".gif.png", ".eps")


def read(path: Path) -> str:
    """What the download and extraction stages, or `find --like`, do with a file."""
    if path.suffix in PICTURES:
        height, width, _ = read_image(path).shape
        return f"{width}x{height}"
    info, index = probe(path), read_index(path)
    targets = range(0, len(index), max(1, len(index) // 10))
    decoded = sum(1 for _ in decode_frames(path, index, targets))
    return f"{info.width}x{info.height}, {decoded} of {len(index)} frames"


def main() -> None:
    """Read all files that are named."""
    for name in sys.argv[1:]:
        start = time.monotonic()
        try:
            said: dict[str, object] = {"result": read(Path(name))}
        except MinerError as error:
            said = {"error": error.kind, "message": error.message, "remedy": error.remedy}
        print(json.dumps({"file": name, "seconds": time.monotonic() - start, **said}))  # noqa: T201
    print(json.dumps({"memory": _most_memory()}))  # noqa: T201


def _most_memory() -> int:
    """Bytes. On Linux `ru_maxrss` of a child begins with what its parent had, and the parent has made the bombs."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()
