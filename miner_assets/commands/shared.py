"""What all commands share: where errors end, exit codes, and which workspace is meant.

Modules of commands import what takes long (dagster, torch, polars, pydantic) inside of the functions that need it:
`--help` reads all of them.
"""

import errno
import functools
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.markup import escape

from miner_resources.errors import FULL_OR_LOCKED, ConfigError, MinerError, NotConfigured

if TYPE_CHECKING:
    from miner_resources.config import MinerConfig

SOME_FAILED: Final = 1
WRONG_USAGE: Final = 2
INTERRUPTED: Final = 130
DISK_TROUBLE: Final = FULL_OR_LOCKED | {errno.EACCES, errno.EIO}

out = Console()
err = Console(stderr=True)

P = ParamSpec("P")
R = TypeVar("R")

Files = Annotated[list[Path], typer.Argument(metavar="FILE...", help="YAML files, later ones over earlier ones.")]
Overrides = Annotated[
    list[str] | None, typer.Option("-o", "--override", metavar="KEY=VALUE", help="Set one value, over all files.")
]
OutputDir = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-O",
        metavar="DIR",
        help="Output folder of the project. Default: that of VIDEO_MINER_OUTPUT or VIDEO_MINER_CONFIG, else 'output'.",
    ),
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say more about each video, and show tracebacks.")]


def reports_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Turn expected errors into a message and an exit code; the only place where the command line catches."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except MinerError as error:
            _tell(error, traceback=bool(kwargs.get("verbose")))
            raise typer.Exit(WRONG_USAGE if isinstance(error, ConfigError) else SOME_FAILED) from None
        except KeyboardInterrupt:
            err.print("\nstopped; what is finished is kept. Run the same command again to go on.")
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            sys.stderr.close()
            raise typer.Exit(0) from None
        except OSError as error:
            if error.errno not in DISK_TROUBLE:
                raise
            said = NotConfigured(
                f"{error.filename or 'the disk'}: {error.strerror}",
                remedy="free some space, or see to it that the folder may be written to; then run the same again",
            )
            _tell(said, traceback=bool(kwargs.get("verbose")))
            raise typer.Exit(SOME_FAILED) from None

    return wrapped


def _tell(error: MinerError, *, traceback: bool) -> None:
    if traceback:
        err.print_exception()
    err.print(f"[red]error:[/red] {escape(error.message)}", highlight=False, soft_wrap=True)
    err.print(f"[yellow]what to do:[/yellow] {escape(error.remedy)}", highlight=False, soft_wrap=True)


def project_config(output: Path | None, files: Sequence[Path] = (), overrides: Sequence[str] = ()) -> "MinerConfig":
    """The configuration a command is about: its files, those of the environment, or that of the project's last run."""
    from miner_resources.config_files import load_project

    named = list(files) or [Path(part) for part in os.environ.get("VIDEO_MINER_CONFIG", "").split(os.pathsep) if part]
    folder = output or os.environ.get("VIDEO_MINER_OUTPUT")
    return load_project(named, Path(folder) if folder else None, overrides)
