"""Which models a configuration means: of several the first that can be had, and the filter's own as embedder."""

from collections.abc import Iterator
from typing import Any, Final

from miner_resources.config import MinerConfig
from miner_resources.models.catalogue import DETECTION, EMBEDDING, FILTER_MODEL, TEXT_IMAGE
from miner_resources.models.sources import candidates, resolve
from miner_resources.records import Json, Stage
from miner_resources.storage import stable_hash

TASKS: Final = {Stage.FILTER: TEXT_IMAGE, Stage.EMBED: EMBEDDING, Stage.DETECT: DETECTION}


def possible_models(config: MinerConfig) -> Iterator[tuple[Stage, str, str, str]]:
    """Every model that may be used: the stage, the key that names it, the name, and the task."""
    named = (
        (Stage.FILTER, "filter.model", config.filter.model),
        (Stage.EMBED, "dedup.model", config.dedup.model),
        (Stage.DETECT, "detection.detector", config.detection.detector),
    )
    for stage, key, names in named:
        for name in candidates(names):
            if (stage, name) != (Stage.EMBED, FILTER_MODEL):
                yield stage, key, name, TASKS[stage]


def chosen_model(config: MinerConfig, stage: Stage, name: str, *, fetch: bool = False) -> str:
    """The one model that a stage uses.

    Args:
        config: for the filter's model, if the embedder is to be the same.
        stage: which one.
        name: what is configured: one name, or several by preference.
        fetch: if the weights of none are here, fetch those of the first that can be had; else the first is meant.
    """
    if stage is Stage.EMBED and name == FILTER_MODEL:
        # By its place: as embedder, `demo` is another model.
        return resolve(chosen_model(config, Stage.FILTER, config.filter.model, fetch=fetch), TEXT_IMAGE).location
    if len(candidates(name)) == 1:
        return name
    from miner_resources.models.weights import settle

    return settle(name, TASKS[stage], fetch=fetch)


def model_identity(config: MinerConfig, stage: Stage, name: str, *choices: Json) -> str:
    """Changes when a stage's model would compute other numbers: weights, number format, and what else was chosen."""
    source = resolve(chosen_model(config, stage, name), TASKS[stage])
    return stable_hash(source.identity, config.precision, config.compile_models, *choices)


def device_settings(config: MinerConfig) -> dict[str, Any]:
    """What the model resources are made with."""
    return {"device": config.device, "precision": config.precision, "compile_models": config.compile_models}
