"""The command `video-miner`. Each command lives in `commands/`; this module only lists them.

Exit codes: 0 all done; 1 ran, but some videos failed; 2 wrong usage or invalid configuration.
"""

import logging
import os
import sys
import traceback
from importlib.metadata import version
from typing import Annotated

import typer

from miner_assets.commands.dataset import dataset
from miner_assets.commands.dev import dev
from miner_assets.commands.doctor import doctor
from miner_assets.commands.explore import explore
from miner_assets.commands.find import find
from miner_assets.commands.mine import demo, run_config, show_config, validate_config
from miner_assets.commands.models import models
from miner_assets.commands.preview import preview
from miner_assets.commands.queries import queries
from miner_assets.commands.registry import keywords, registry
from miner_assets.commands.thresholds import thresholds

app = typer.Typer(
    name="video-miner",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    help="Turn web video into labelled, traceable computer-vision datasets.\n\nStart with: video-miner demo",
)
app.command("demo")(demo)
app.command("run-config")(run_config)
app.command("validate-config")(validate_config)
app.command("show-config")(show_config)
app.add_typer(registry, name="registry")
app.add_typer(keywords, name="keywords")
app.add_typer(dataset, name="dataset")
app.command("queries")(queries)
app.command("preview")(preview)
app.command("find")(find)
app.add_typer(models, name="models")
app.command("thresholds")(thresholds)
app.command("explore")(explore)
app.command("dev")(dev)
app.command("doctor")(doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"video-miner {version('video-miner')}")
        raise typer.Exit


@app.callback()
def options(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Turn web video into labelled, traceable computer-vision datasets."""


def main() -> None:
    """Entry point of the console script.

    Ends the process without tearing the interpreter down: after Dagster ran in it, DuckDB 2.0's bindings would print a
    page about leaked references, although every connection is closed.
    """
    code = 0
    try:
        app()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except Exception:  # noqa: BLE001 (the edge of the program)
        traceback.print_exc()
        code = 1
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
