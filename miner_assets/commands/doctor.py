"""`video-miner doctor`: is everything there that mining needs; each line with what to do if not."""

import importlib
import importlib.util
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final

import typer
from rich.markup import escape

from miner_assets.commands.finding import Finding
from miner_assets.commands.shared import SOME_FAILED, OutputDir, out, project_config, reports_errors
from miner_resources.errors import MinerError

if TYPE_CHECKING:
    from miner_resources.config import MinerConfig

PACKAGES: Final = ("dagster", "yt-dlp", "av", "torch", "transformers", "faiss-cpu", "duckdb", "polars", "pillow")
IMPORTS: Final = ("dagster", "yt_dlp", "av", "torch", "transformers", "faiss", "duckdb", "polars", "PIL")
LOW_DISK_BYTES: Final = 10 * 1024**3
COLOURS: Final = {"ok": "green", "warn": "yellow", "fail": "red"}


@reports_errors
def doctor(output: OutputDir = None) -> None:
    """Check packages, yt-dlp, network, cookies, device, models, disk and registry; each line says what to do.

    Example: video-miner doctor
    """
    from miner_assets.commands.doctor_web import WEB_CHECKS

    config = project_config(output)
    failed = False
    for check in (_python, _packages, _torchvision, *WEB_CHECKS, _device, _models, _disk, _registry):
        for finding in check(config):
            failed = failed or finding.state == "fail"
            remedy = f" → {escape(finding.remedy)}" if finding.remedy else ""
            colour = COLOURS[finding.state]
            out.print(
                f"[{colour}]{finding.state:<4}[/{colour}] {escape(finding.what)}{remedy}",
                highlight=False,
                soft_wrap=True,
            )
    if failed:
        raise typer.Exit(SOME_FAILED)


def _python(_: "MinerConfig") -> Iterator[Finding]:
    number = ".".join(str(part) for part in sys.version_info[:3])
    yield Finding("ok", f"Python {number}")


def _packages(_: "MinerConfig") -> Iterator[Finding]:
    for package, module in zip(PACKAGES, IMPORTS, strict=True):
        try:
            importlib.import_module(module)
            yield Finding("ok", f"{package} {version(package)}")
        except (ImportError, OSError, PackageNotFoundError) as error:
            yield Finding("fail", f"{package}: {error}", "install it again: pip install --force-reinstall video-miner")


def _torchvision(_: "MinerConfig") -> Iterator[Finding]:
    """Nothing here needs torchvision, but a broken one breaks transformers."""
    if importlib.util.find_spec("torchvision") is None:
        return
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError, OSError) as error:
        yield Finding("fail", f"torchvision is broken: {error}", "pip uninstall torchvision; Video Miner needs none")


def _device(config: "MinerConfig") -> Iterator[Finding]:
    from miner_resources.models.runtime import choose_device, choose_dtype

    try:
        device = choose_device(config.device)
        yield Finding("ok", f"device {device}, precision {str(choose_dtype(config.precision, device)).split('.')[-1]}")
    except MinerError as error:
        yield Finding("fail", error.message, error.remedy)


def _models(config: "MinerConfig") -> Iterator[Finding]:
    from miner_assets.model_choice import check_service, possible_models
    from miner_resources.models.sources import resolve
    from miner_resources.models.weights import weights_present

    for _, key, name, task in possible_models(config):
        try:
            source = resolve(name, task)
            check_service(config, source)
        except MinerError as error:
            yield Finding("warn", f"{key}: {error.message}", error.remedy)
            continue
        if source.is_service:
            yield Finding("ok", f"{key}: {name} can be asked")
        elif weights_present(source):
            yield Finding("ok", f"{key}: {name} is here")
        else:
            yield Finding("warn", f"{key}: {name} is not downloaded", f"video-miner models download {name}")


def _disk(config: "MinerConfig") -> Iterator[Finding]:
    folder = config.output_dir.absolute()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    what = f"{free / 1024**3:.0f} GiB free at {existing}"
    if free < LOW_DISK_BYTES:
        yield Finding("warn", what, "free some space, or set output_dir to another disk")
    else:
        yield Finding("ok", what)


def _registry(config: "MinerConfig") -> Iterator[Finding]:
    from miner_resources.catalog import Catalog
    from miner_resources.storage import Storage

    storage = Storage(config.output_dir)
    if not storage.registry.exists():
        yield Finding("ok", f"no registry at {storage.registry} yet")
        return
    try:
        numbers = Catalog(storage).statistics()
        yield Finding("ok", f"registry {storage.registry}: {numbers.videos} videos")
    except MinerError as error:
        yield Finding("fail", error.message, "video-miner registry rebuild")
