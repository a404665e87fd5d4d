"""`video-miner models …`: what models there are, and fetching their weights ahead of a run."""

from typing import Annotated

import typer

from miner_assets.commands.reporting import print_table
from miner_assets.commands.shared import err, out, reports_errors
from miner_resources.models.catalogue import CATALOGUE, DETECTION
from miner_resources.models.sources import resolve

models = typer.Typer(no_args_is_help=True, help="The model catalogue.")


@models.command("list")
@reports_errors
def list_models() -> None:
    """List the models that this version can run, with licence and default threshold.

    Example: video-miner models list
    """
    rows = [
        [entry.name, entry.task, entry.hub_id or "bundled", entry.licence, entry.input_size, entry.default_threshold]
        for entry in CATALOGUE
    ]
    print_table(out, ["name", "for", "weights", "licence", "pixels", "threshold"], rows)


@models.command("download")
@reports_errors
def download(name: Annotated[str, typer.Argument(help="A name of `models list`.")]) -> None:
    """Fetch the weights of a model into the Hugging Face cache.

    Example: video-miner models download siglip2-base
    """
    from miner_resources.models.weights import fetch_weights

    tasks = [entry.task for entry in CATALOGUE if entry.name == name] or [DETECTION]
    for task in tasks:
        with err.status(f"fetching {name} …"):
            folder = fetch_weights(resolve(name, task))
        out.print(f"{name} ({task}) is at {folder}", highlight=False, markup=False, soft_wrap=True)
