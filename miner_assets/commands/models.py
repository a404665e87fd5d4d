"""`video-miner models …`: what models there are, and fetching their weights ahead of a run."""

from typing import Annotated, Final

import typer

from miner_assets.commands.reporting import print_list
from miner_assets.commands.shared import err, out, reports_errors
from miner_resources.models.catalogue import CATALOGUE, DETECTION
from miner_resources.models.page import COLUMNS, cells
from miner_resources.models.sources import SERVICES, candidates, resolve

models = typer.Typer(no_args_is_help=True, help="The model catalogue.")

LISTED: Final = ("name", "parameters", "pixels", "scores", "threshold", "licence", "weights")

_FETCHABLE = ", ".join(dict.fromkeys(entry.name for entry in CATALOGUE if entry.family not in SERVICES))
_NAMES = f"A hub id, or one of: {_FETCHABLE}. Several are separated by commas."


@models.command("list")
@reports_errors
def list_models() -> None:
    """List the models that this version can run: weights, size, licence, what scores mean, default threshold.

    Example: video-miner models list
    """
    order = [COLUMNS.index(name) for name in LISTED]
    for task in dict.fromkeys(entry.task for entry in CATALOGUE):
        listed = [cells(entry) for entry in CATALOGUE if entry.task == task]
        print_list(out, f"for {task}", LISTED, [[row[place] for place in order] for row in listed])
    out.print("gated: accept the licence on the model's page and set HF_TOKEN; see docs/models.md", highlight=False)


@models.command("download")
@reports_errors
def download(name: Annotated[str, typer.Argument(help=_NAMES)]) -> None:
    """Fetch the weights of models into the Hugging Face cache.

    Example: video-miner models download siglip2-base,dinov2-base
    """
    from miner_resources.models.weights import fetch_weights

    for one in candidates(name):
        base = one.partition("@")[0]
        tasks = [entry.task for entry in CATALOGUE if base in (entry.name, entry.hub_id)] or [DETECTION]
        for task in tasks:
            with err.status(f"fetching {one} …"):
                folder = fetch_weights(resolve(one, task))
            out.print(f"{one} ({task}) is at {folder}", highlight=False, markup=False, soft_wrap=True)
