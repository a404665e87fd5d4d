"""`video-miner dataset …`: what can be done with a finished dataset. Each command has a module of its own."""

import typer

from miner_assets.commands.dataset_export import export
from miner_assets.commands.dataset_rebuild import rebuild

dataset = typer.Typer(no_args_is_help=True, help="What can be done with a finished dataset.")
dataset.command("export")(export)
dataset.command("rebuild")(rebuild)
