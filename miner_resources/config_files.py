"""Reading configuration: YAML layers merged by OmegaConf, checked by `config.MinerConfig`, all problems at once.

Order: built-in defaults < files in the order given < `-o key=value` overrides.
"""

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast, get_args

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ValidationError

from miner_resources.config import MinerConfig
from miner_resources.errors import ConfigError
from miner_resources.yaml_text import parse_yaml

_UNREADABLE: Final = (OmegaConfBaseException, yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError)
"""What OmegaConf and PyYAML raise for text that is no value."""

PROJECT_FILE: Final = "config.yaml"
"""In the output folder: the whole configuration of the last run, which other commands and the UI take over."""


def load_config(files: Sequence[Path] = (), overrides: Sequence[str] = ()) -> MinerConfig:
    """Merge and validate.

    Args:
        files: YAML files, later ones over earlier ones.
        overrides: `dotted.key=value`, over all files; values are YAML.

    Raises:
        ConfigError: with every problem found, each naming its dotted key or file.
    """
    problems: list[str] = []
    layers = [layer for layer in (_read_layer(file, problems) for file in files) if layer is not None]
    layers += [layer for layer in (_read_override(text, problems) for text in overrides) if layer is not None]
    if problems:
        raise ConfigError(problems)
    values = _merge(layers)
    try:
        return MinerConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError(list(explain(error))) from None


def load_project(files: Sequence[Path], output: Path | None, overrides: Sequence[str] = ()) -> MinerConfig:
    """The configuration of a project: its files, else the one that the last run left in its output folder.

    Args:
        files: as in `load_config`; empty for "as last time".
        output: overrides `output_dir`, None to leave it.
        overrides: as in `load_config`.

    Raises:
        ConfigError: as in `load_config`.
    """
    last = (output or MinerConfig().output_dir) / PROJECT_FILE
    chosen = list(files) or ([last] if last.exists() else [])
    moved = [f"output_dir={json.dumps(str(output))}"] if output else []
    return load_config(chosen, [*overrides, *moved])


def to_yaml(config: MinerConfig) -> str:
    """The whole configuration as YAML that `load_config` reads back to the same values."""
    values = config.model_dump(mode="json")
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100)


def _read_layer(file: Path, problems: list[str]) -> DictConfig | None:
    try:
        values = parse_yaml(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        problems.append(f"{file}: no such file")
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"{file}: cannot be read: {error}")
    except ValueError as error:
        problems.append(f"{file}: is not valid YAML: {error}")
    else:
        if values is None or isinstance(values, dict):
            return _as_layer(file, values or {}, problems)
        problems.append(f"{file}: must hold keys and values at the top level, not a {type(values).__name__}")
    return None


def _as_layer(file: Path, values: object, problems: list[str]) -> DictConfig | None:
    try:
        return DictConfig(values)
    except (OmegaConfBaseException, ValueError, TypeError) as error:
        problems.append(f"{file}: cannot be understood: {' '.join(str(error).split())}")
        return None


def _read_override(text: str, problems: list[str]) -> DictConfig | None:
    key, separator, _ = text.partition("=")
    if not separator or not key.strip():
        problems.append(f"-o {text}: must have the form key=value, for example -o filter.threshold=0.3")
        return None
    try:
        return OmegaConf.from_dotlist([text])
    except (*_UNREADABLE, RecursionError) as error:
        reason = "" if isinstance(error, RecursionError) else f": {' '.join(str(error).split())}"
        problems.append(f"-o {text[:200]}: cannot be understood{reason}")
        return None


def _merge(layers: Sequence[DictConfig]) -> dict[str, Any]:
    merged = DictConfig({})
    try:
        for layer in layers:
            # A list cannot be merged into a mapping (`classes` may be either): the later layer wins whole.
            clashes = [str(key) for key in layer if OmegaConf.is_dict(layer[key]) != OmegaConf.is_dict(merged.get(key))]
            kept = OmegaConf.masked_copy(merged, [str(key) for key in merged if str(key) not in clashes])
            merged = cast("DictConfig", OmegaConf.unsafe_merge(kept, layer))
        values = OmegaConf.to_container(merged, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError([f"an interpolation ${{…}} cannot be resolved: {' '.join(str(error).split())}"]) from None
    return {str(key): value for key, value in values.items()} if isinstance(values, dict) else {}


def explain(error: ValidationError) -> Iterator[str]:
    """One line for each problem, with its dotted key, the bad value and what is allowed."""
    for detail in error.errors(include_url=False):
        location = [str(part) for part in detail["loc"] if part != "[key]"]
        dotted = ".".join(location)
        if detail["type"] == "extra_forbidden":
            yield f"{dotted}: unknown key{_did_you_mean(location)}"
            continue
        message = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
        hidden = location[-1:] == ["proxy"] or "extractor_args" in location  # they may hold a password
        shown = "the value" if hidden else _shown(detail["input"])
        yield f"{dotted}: {shown} {_sentence(message)}{_suggest_value(detail)}"


def _sentence(message: str) -> str:
    return f"is not allowed: {message[0].lower()}{message[1:]}" if message else "is not allowed"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _suggest_value(detail: Mapping[str, Any]) -> str:
    expected = str(detail.get("ctx", {}).get("expected", ""))
    options = [part.strip(" '") for part in expected.replace(" or ", ",").split(",") if part.strip()]
    close = difflib.get_close_matches(str(detail["input"]), options, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _did_you_mean(location: Sequence[str]) -> str:
    known = _keys_at(MinerConfig, location[:-1])
    close = difflib.get_close_matches(location[-1], known, n=1)
    if close:
        return f" (did you mean {'.'.join([*location[:-1], close[0]])!r}?)"
    return f"; known here: {', '.join(known)}" if known else ""


def _keys_at(model: type[BaseModel], path: Sequence[str]) -> list[str]:
    """The keys allowed in the section that `path` names; class names in the path stand for any class."""
    current: type[BaseModel] | None = model
    for part in path:
        if current is None or part not in current.model_fields:
            continue
        annotation = current.model_fields[part].annotation
        candidates = (annotation, *get_args(annotation))
        current = next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)
    return list(current.model_fields) if current else []
