"""Train the bundled demo models again: `python -m scripts.train_demo_models --work /tmp/train all`.

Takes about half an hour on two CPU cores. Every step can be run alone; frames are rendered once. The checkpoints land
in the work folder: copy them to `miner_resources/demo/checkpoints/` when they are better, then run `evaluate`.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

from scripts.train_demo_models import dinov2, evaluate, owlv2, siglip
from scripts.train_demo_models.frames import SPLITS, load_frames


def main() -> None:
    """Run one step, or all."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.train_demo_models",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("step", choices=["frames", "siglip", "dinov2", "owlv2", "evaluate", "all"])
    parser.add_argument("--work", type=Path, default=Path("/tmp/video-miner-training"), help="frames and checkpoints")
    parser.add_argument("--steps", type=int, help="training steps, to try the scripts out")
    arguments = parser.parse_args()
    work: Path = arguments.work
    trainers: dict[str, Callable[..., None]] = {
        "siglip": siglip.train,
        "dinov2": dinov2.train,
        "owlv2": owlv2.train,
    }
    if arguments.step in ("frames", "all"):
        for split in SPLITS:
            load_frames(work, split)
            print(f"frames of {split} are in {work}")
    for name, train in trainers.items():
        if arguments.step in (name, "all"):
            train(work, work / name, **({"steps": arguments.steps} if arguments.steps else {}))
            print(f"{name} is in {work / name}")
    if arguments.step == "evaluate":
        print(f"wrote {evaluate.write_metrics(work)}")


if __name__ == "__main__":
    main()
