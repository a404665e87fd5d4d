"""Running the real pipeline in tests: real assets, real Dagster instance, bundled demo models."""

import hashlib
import json
import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from miner_assets.instance import open_instance
from miner_assets.pipeline import Pipeline
from miner_assets.pipeline_run import PipelineRun
from miner_assets.workspace import Workspace
from miner_resources.config import MinerConfig
from miner_resources.config_files import load_config
from miner_resources.gpu_models import SLOT
from miner_resources.records import Stage

CLASSES = "classes=['red circle','blue square','green triangle','yellow star']"
MODELS = (
    "filter.model=demo",
    "filter.threshold=0.5",
    "dedup.model=demo",
    "dedup.threshold=0.85",
    "detection.detector=demo",
)


def demo_config(output: Path, sources: Sequence[Path | str], *overrides: str) -> MinerConfig:
    """A configuration with the demo models and one frame per half second."""
    urls = json.dumps([str(source) for source in sources])
    settings = [f"output_dir={json.dumps(str(output))}", f"urls={urls}", CLASSES, *MODELS]
    settings += ["extraction.strategy=time", "extraction.seconds=0.5", "from_registry=none", *overrides]
    return load_config((), settings)


@contextmanager
def dagster_home(output: Path) -> Generator[None]:
    """The home inside the output folder, whatever the environment says, restored afterwards."""
    before = os.environ.pop("DAGSTER_HOME", None)
    try:
        yield
    finally:
        os.environ.pop("DAGSTER_HOME", None)
        if before is not None:
            os.environ["DAGSTER_HOME"] = before


def run(config: MinerConfig) -> PipelineRun:
    """Run the pipeline as `run-config` does, without its progress bars."""
    with dagster_home(config.output_dir):
        workspace = Workspace.open(config)
        with open_instance(workspace.storage) as instance:
            return Pipeline(workspace, instance).execute()


def model_loads(config: MinerConfig) -> tuple[PipelineRun, int]:
    """A run, and how many models it loaded."""
    before = SLOT.loads
    return run(config), SLOT.loads - before


def computed(done: PipelineRun) -> dict[str, int]:
    """Stage → items computed, without the stages that computed nothing."""
    return {stage.value: summary.computed for stage, summary in done.stages.items() if summary.computed}


def digests(output: Path) -> dict[str, str]:
    """Relative path → hash of every artifact; not of what holds times: registry, events, reports."""
    skipped = (".dagster", ".tmp", "events", "registry.duckdb", "pipeline_result.json", "config.yaml", "dedup/store")
    files = (path for path in sorted(output.rglob("*")) if path.is_file())
    return {
        path.relative_to(output).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if not path.relative_to(output).as_posix().startswith(skipped)
        and not path.name.endswith((".info.json", "version.json"))
    }


def failed_in(done: PipelineRun) -> dict[str, Stage]:
    """Video → the stage it failed in."""
    return {video_id: record.stage for video_id, record in done.failures.items()}
