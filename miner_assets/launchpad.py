"""The configuration sections as Dagster config: what the launchpad shows and how a run overrides the project's values.

Every field is optional there: what is left out stays as in the project's configuration files. The values are checked by
the same Pydantic class as those of a YAML file.
"""

from collections.abc import Mapping
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import dagster as dg
from pydantic import ValidationError

from miner_resources.config_files import explain
from miner_resources.config_sections import Section
from miner_resources.errors import ConfigError

S = TypeVar("S", bound=Section)


def launchpad_schema(section: type[Section]) -> dict[str, dg.Field]:
    """The `config_schema` of an asset that reads `section`."""
    return {
        name: dg.Field(
            _dagster_type(field.annotation),
            is_required=False,
            description=f"{field.description}. Left out: as in the project's configuration.",
        )
        for name, field in section.model_fields.items()
    }


def with_overrides(base: S, overrides: Mapping[str, object], name: str) -> S:
    """`base` with a run's own values over it.

    Raises:
        ConfigError: a value is not allowed; `name` is the section's dotted prefix in the message.
    """
    given = {key: value for key, value in overrides.items() if value is not None}
    try:
        return type(base).model_validate({**base.model_dump(), **given})
    except ValidationError as error:
        raise ConfigError([f"{name}.{problem}" for problem in explain(error)]) from None


def _dagster_type(annotation: Any) -> Any:  # noqa: ANN401 (type expressions have no common type)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        inner = next(argument for argument in arguments if argument is not type(None))
        return dg.Noneable(_dagster_type(inner))
    if origin is Literal:
        return dg.Enum("_or_".join(arguments), [dg.EnumValue(value) for value in arguments])
    if origin is list:
        return [_dagster_type(arguments[0])]
    if origin is dict:
        return dg.Map(_dagster_type(arguments[0]), _dagster_type(arguments[1]))
    return annotation if annotation in (bool, int, float) else str
