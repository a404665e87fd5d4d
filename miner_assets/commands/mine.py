"""The commands that mine: `run-config`, `demo`, and the two that only look at the configuration."""

import logging
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from miner_assets.commands.reporting import ProgressBars, print_summary, print_table
from miner_assets.commands.shared import SOME_FAILED, Files, Overrides, Verbose, err, out, reports_errors
from miner_resources.errors import ConfigError
from miner_resources.vocabulary import Json, Stage

if TYPE_CHECKING:
    from miner_resources.config import MinerConfig

FORCEABLE = {
    Stage.SEARCH: "search",
    Stage.DOWNLOAD: "download",
    Stage.EXTRACT: "extraction",
    Stage.FILTER: "filter",
    Stage.EMBED: "dedup",
    Stage.DEDUP: "dedup",
    Stage.DETECT: "detection",
}


@reports_errors
def run_config(
    files: Files,
    override: Overrides = None,
    stages: Annotated[str | None, typer.Option(metavar="A,B", help="Run only these stages.")] = None,
    force: Annotated[list[str] | None, typer.Option(metavar="STAGE", help="Compute this stage again.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    verbose: Verbose = False,
) -> None:
    """Mine a dataset as described by one or more YAML files.

    What is up to date is not computed again; a second identical run does no work.

    Examples:
      video-miner run-config configs/examples/folder.yaml

      video-miner run-config cars.yaml -o filter.threshold=0.4 -o output_dir=/data/cars

      video-miner run-config cars.yaml --stages dedup,dataset --force dedup
    """
    from miner_resources.config_files import load_config

    config = load_config(files, [*(override or []), *_stage_overrides(stages, force or [])])
    check_models(config)
    if dry_run:
        _print_plan(config)
        return
    result = mine(config, verbose=verbose)
    if result["errors"] or result["waiting"]:
        raise typer.Exit(SOME_FAILED)


@reports_errors
def demo(
    output: Annotated[Path, typer.Option("--output", metavar="DIR", help="Where to write.")] = Path("demo_output"),
    verbose: Verbose = False,
) -> None:
    """Mine synthetic videos with known ground truth, with bundled models: the whole pipeline, no download.

    Examples:
      video-miner demo

      video-miner demo --output /tmp/demo
    """
    from miner_assets.commands.demo import run_demo

    result = run_demo(output, verbose=verbose)
    if result["errors"]:
        raise typer.Exit(SOME_FAILED)


@reports_errors
def validate_config(files: Files, override: Overrides = None) -> None:
    """Check configuration files without running anything; prints every problem at once.

    Example: video-miner validate-config my.yaml -o filter.threshold=0.4
    """
    from miner_resources.config_files import load_config

    config = load_config(files, override or [])
    check_models(config)
    out.print(f"[green]ok[/green]: {len(config.classes)} classes, stages {', '.join(config.stages)}")


@reports_errors
def show_config(files: Files, override: Overrides = None) -> None:
    """Print the whole configuration, with defaults, as YAML.

    Example: video-miner show-config my.yaml > full.yaml
    """
    from miner_resources.config_files import load_config, to_yaml

    out.file.write(to_yaml(load_config(files, override or [])))


def mine(config: "MinerConfig", *, verbose: bool, demo_truth: Path | None = None) -> dict[str, Any]:
    """Run the pipeline with progress bars and a summary; returns what `pipeline_result.json` holds."""
    # Dagster, torch and transformers take seconds to import: not before there is work for them.
    from miner_assets.instance import open_instance
    from miner_assets.pipeline import Pipeline
    from miner_assets.result import build_result, write_result
    from miner_assets.workspace import Workspace
    from miner_resources.config_files import PROJECT_FILE, to_yaml

    with quiet_libraries(), ProgressBars(err, verbose=verbose) as bars:
        workspace = Workspace.open(config, bars)
        with workspace.storage.publish_file(workspace.storage.root / PROJECT_FILE) as target:
            target.write_text(to_yaml(config.remembered()), encoding="utf-8")
        pipeline = Pipeline(workspace, open_instance(workspace.storage))
        try:
            run = pipeline.execute()
        finally:
            scores = _score(config.output_dir, demo_truth) if demo_truth and pipeline.run.finished_at else None
            result = build_result(workspace, pipeline.run, scores)
            write_result(workspace, result)
    print_summary(out, result, str(config.output_dir))
    if run.ok and not run.did_work:
        out.print("[green]Nothing to do: everything is up to date.[/green]")
    elif not run.ok and not run.did_work:
        out.print("No work was done: the rest is up to date. Use --force STAGE to try failed videos again.")
    return result


def check_models(config: "MinerConfig") -> None:
    """Refuse model names that do not exist and services that cannot be used, before anything is touched.

    Raises:
        ConfigError: with every name that is wrong.
    """
    from miner_assets.model_choice import check_service, possible_models
    from miner_resources.errors import MinerError
    from miner_resources.models.sources import resolve

    problems: list[str] = []
    unusable: dict[str, list[str]] = {}
    usable: set[str] = set()
    for _, key, name, task in (model for model in possible_models(config) if model[0] in config.stages):
        try:
            source = resolve(name, task)
        except MinerError as error:
            problems.append(f"{key}: {error}")
            continue
        try:
            check_service(config, source)
            usable.add(key)
        except MinerError as error:
            unusable.setdefault(key, []).append(f"{key}: {error}")
    # Of several by preference one is enough.
    problems += [problem for key, found in unusable.items() if key not in usable for problem in found]
    if problems:
        raise ConfigError(problems)


def _stage_overrides(stages: str | None, force: Sequence[str]) -> list[str]:
    overrides = [f"stages=[{stages}]"] if stages is not None else []
    for name in force:
        known = {stage.value: section for stage, section in FORCEABLE.items()}
        if name not in known:
            raise ConfigError([f"--force {name}: must be one of {', '.join(known)}"])
        overrides.append(f"{known[name]}.force=true")
    return overrides


def _print_plan(config: "MinerConfig") -> None:
    from miner_assets.instance import open_instance
    from miner_assets.pipeline import Pipeline
    from miner_assets.workspace import Workspace

    if not config.output_dir.exists():
        out.print(f"{config.output_dir} does not exist yet: every stage would run on all videos of the inputs.")
        return
    workspace = Workspace.open(config)
    counts = Pipeline(workspace, open_instance(workspace.storage)).plan()
    print_table(out, ["stage", "videos to run"], [[stage.value, count] for stage, count in counts.items()])
    out.print("Videos of inputs that are not registered yet come on top.")


def _score(output_dir: Path, truth: Path) -> dict[str, Json]:
    from dataclasses import asdict

    from miner_resources.demo.scoring import score_output

    return asdict(score_output(output_dir, truth))


@contextmanager
def quiet_libraries() -> Generator[None]:
    """Dagster and friends log to the console by default; here the progress bars speak for them."""
    names = ("dagster", "alembic", "transformers", "huggingface_hub")
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
