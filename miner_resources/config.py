"""The whole configuration: all sections, and what holds across them.

`config_sections.py` says what is allowed in each section; `config_files.py` reads and merges YAML.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from miner_resources.config_sections import (
    AutomationConfig,
    ClassSpec,
    DatasetConfig,
    DedupConfig,
    DetectionConfig,
    DownloadConfig,
    ExtractionConfig,
    FilterConfig,
    PacingConfig,
    PrescreenConfig,
    SearchConfig,
    Section,
)
from miner_resources.records import Json, Stage
from miner_resources.storage import stable_hash
from miner_resources.web.addresses import has_password

_USER_INFO = re.compile(r"//[^/@]*@")
_SECRET_NAME = re.compile(r"token|key|secret|passw|visitor_data|data_sync|cookie|auth", re.IGNORECASE)
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


class MinerConfig(Section):
    """The whole configuration."""

    output_dir: Path = Field(default=Path("output"), description="where everything is written")
    device: str = Field(default="auto", description="auto | cpu | cuda | cuda:N | mps")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(default="auto", description="number format of models")
    compile_models: bool = Field(default=False, description="compile models: minutes at the start, faster after")
    stages: list[Stage] = Field(default_factory=lambda: list(Stage), description="stages to run")
    urls: list[str] = Field(default_factory=list, description="URLs, local files or folders")
    url_files: list[Path] = Field(default_factory=list, description="text files with one URL a line")
    from_registry: Literal["none", "pending", "all"] = Field(
        default="pending", description="also take videos that are already in the registry"
    )
    rights: Literal["any", "trainable", "cc"] = Field(
        default="any", description="trainable: creators allow anyone to train; cc: Creative Commons; else skipped"
    )
    classes: dict[str, ClassSpec] = Field(
        default_factory=lambda: {"person": ClassSpec(), "car": ClassSpec()}, description="what to look for"
    )
    search: SearchConfig = Field(default_factory=SearchConfig)
    download: DownloadConfig = Field(default_factory=DownloadConfig)
    pacing: PacingConfig = Field(default_factory=PacingConfig)
    prescreen: PrescreenConfig = Field(default_factory=PrescreenConfig)
    extraction: ExtractionConfig = Field(default_factory=ExtractionConfig)
    filter: FilterConfig = Field(default_factory=FilterConfig)
    dedup: DedupConfig = Field(default_factory=DedupConfig)
    detection: DetectionConfig = Field(default_factory=DetectionConfig)
    dataset: DatasetConfig = Field(default_factory=DatasetConfig)
    automation: AutomationConfig = Field(default_factory=AutomationConfig)

    @field_validator("output_dir", "url_files")
    @classmethod
    def _possible_paths(cls, paths: Path | list[Path]) -> Path | list[Path]:
        if any("\0" in str(path) for path in ([paths] if isinstance(paths, Path) else paths)):
            raise ValueError("must not hold a zero byte")
        return paths

    @field_validator("urls")
    @classmethod
    def _no_passwords(cls, urls: list[str]) -> list[str]:
        if any(map(has_password, urls)):
            raise ValueError("addresses become part of the dataset: leave users and passwords out of them")
        return urls

    @field_validator("device")
    @classmethod
    def _known_device(cls, device: str) -> str:
        if not _DEVICE.fullmatch(device):
            raise ValueError("must be auto, cpu, cuda, cuda:N or mps")
        return device

    @field_validator("classes", mode="before")
    @classmethod
    def _classes_as_mapping(cls, classes: object) -> object:
        if isinstance(classes, list):
            names = [name for name in classes if isinstance(name, str)]
            if len(names) != len(classes) or len(set(names)) != len(names):
                raise ValueError("a list of classes must hold different names; use a mapping for prompts")
            return {name: ClassSpec() for name in names}
        if isinstance(classes, Mapping):
            return {name: ({} if spec is None else spec) for name, spec in classes.items()}
        raise ValueError("must be a list of names or a mapping of name to {prompts, negatives, threshold}")

    @field_validator("classes")
    @classmethod
    def _some_named_classes(cls, classes: dict[str, ClassSpec]) -> dict[str, ClassSpec]:
        if not classes or any(not name.strip() for name in classes):
            raise ValueError("needs at least one class, and every class needs a name")
        if strange := [name for name in classes if not name.isprintable() or len(name) > 200]:
            raise ValueError(f"names of classes are one line of up to 200 characters, not {strange[0][:40]!r}")
        return classes

    @property
    def prompts(self) -> dict[str, list[str]]:
        """Class name → its prompts; the name itself where none are given."""
        return {name: spec.prompts or [name] for name, spec in self.classes.items()}

    def remembered(self) -> "MinerConfig":
        """What a later run should start from: the same without any `force`, and without secrets.

        Those are the password of a proxy, and arguments of extractors that are tokens, keys or the like.
        """
        values: Any = _without_force(self.model_dump(mode="json"))
        values["download"]["extractor_args"] = {
            site: kept
            for site, given in self.download.extractor_args.items()
            if (kept := {name: value for name, value in given.items() if not _SECRET_NAME.search(name)})
        }
        if _USER_INFO.search(self.download.proxy or ""):
            values["download"]["proxy"] = None
        return MinerConfig.model_validate(values)

    @property
    def config_hash(self) -> str:
        """Changes when any value does, except where the output goes and what is forced."""
        return stable_hash(_without_force(self.model_dump(mode="json", exclude={"output_dir"})))


def _without_force(values: Json) -> Json:
    if isinstance(values, Mapping):
        return {key: _without_force(value) for key, value in values.items() if key != "force"}
    return values
