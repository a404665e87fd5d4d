"""The demo: synthetic videos with known ground truth, mined by the bundled models, scored against that truth."""

import json
from pathlib import Path
from typing import Any, Final

from miner_assets.commands.mine import mine
from miner_assets.commands.reporting import print_table
from miner_assets.commands.shared import err, out
from miner_resources.config import MinerConfig
from miner_resources.config_files import load_config
from miner_resources.demo.videos import write_demo_videos

SEED: Final = 7
DEDUP_THRESHOLD: Final = 0.85
"""In the middle of the range (0.78 to 0.88) in which all copies were found and all scenes kept, over three seeds."""
TARGETS: Final = {
    "filter_precision": 0.95,
    "filter_recall": 0.95,
    "duplicate_recall": 0.95,
    "distinct_kept": 0.98,
    "detection_map50": 0.80,
}


def demo_config(output: Path, videos: Path) -> MinerConfig:
    """The configuration of the demo: every model is `demo`."""
    overrides = [
        f"output_dir={json.dumps(str(output))}",
        f"urls=[{json.dumps(str(videos))}]",
        "from_registry=none",
        "classes=['red circle','blue square','green triangle','yellow star']",
        "extraction.strategy=time",
        "extraction.seconds=0.5",
        "filter.model=demo",
        "filter.threshold=0.5",
        "dedup.model=demo",
        f"dedup.threshold={DEDUP_THRESHOLD}",
        "detection.detector=demo",
        "detection.confidence_threshold=0.3",
        "dataset.splits={train: 0.6, val: 0.2, test: 0.2}",
    ]
    return load_config((), overrides)


def run_demo(output: Path, *, verbose: bool) -> dict[str, Any]:
    """Write the videos, mine them, score the result; returns what `pipeline_result.json` holds."""
    output = output.absolute()
    videos = output / "source_videos"
    with err.status("writing synthetic videos with known ground truth …"):
        truth = write_demo_videos(videos, seed=SEED)
    result = mine(demo_config(output, videos), verbose=verbose, demo_truth=truth)
    scores = result["demo"]
    rows = [[name, f"{scores[name]:.3f}", f"≥ {target}"] for name, target in TARGETS.items()]
    print_table(out, ["score against the ground truth", "reached", "target"], rows)
    out.print(f"look at   {output / 'dataset' / 'contact_sheet.jpg'}", highlight=False, markup=False, soft_wrap=True)
    out.print(f"          {output / 'detections' / 'visualizations'}", highlight=False, markup=False, soft_wrap=True)
    out.print(f"in the UI video-miner dev --output {output}", highlight=False, markup=False, soft_wrap=True)
    return result
