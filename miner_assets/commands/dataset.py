"""`video-miner dataset …`: what can be done with a finished dataset. Each command has a module of its own."""

import typer

from miner_assets.commands.dataset_export import export
from miner_assets.commands.dataset_rebuild import rebuild
from miner_assets.commands.dataset_versions import diff_versions_command, list_versions

dataset = typer.Typer(no_args_is_help=True, help="What can be done with a finished dataset.")
dataset.command("list")(list_versions)
dataset.command("diff")(diff_versions_command)
dataset.command("export")(export)
dataset.command("rebuild")(rebuild)
