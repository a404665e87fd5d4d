"""The machine that figures were measured on, in one line."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path


def describe() -> str:
    """Processor, cores, memory, GPU, versions, date, and how busy the machine was with other work."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    parts = [
        f"{cores} cores of {_processor()}, {memory:.0f} GiB",
        _gpu(),
        f"{platform.system()}, Python {platform.python_version()}, PyTorch {version('torch')}",
        f"Dagster {version('dagster')}",
        f"{datetime.now(UTC):%Y-%m-%d}",
        f"load of the machine at the start {os.getloadavg()[0]:.1f}",
    ]
    return " · ".join(parts)


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _gpu() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
