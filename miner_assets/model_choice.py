"""Which models a configuration means: the first of several, the filter's own as embedder, and which commit."""

import json
from collections.abc import Iterator
from typing import Any, Final

from miner_resources.config import MinerConfig
from miner_resources.errors import InvalidData, NotConfigured
from miner_resources.locks import file_lock
from miner_resources.models.catalogue import DETECTION, EMBEDDING, FILTER_MODEL, TEXT_IMAGE
from miner_resources.models.sources import ModelSource, candidates, resolve
from miner_resources.records import Json, Stage
from miner_resources.storage import Storage, stable_hash

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
    """The one model that a stage uses, down to the commit of its repository.

    Args:
        config: of the project; for the filter's model, if the embedder is to be the same.
        stage: which one.
        name: what is configured: one name, or several by preference.
        fetch: before work begins: if the weights of none are here, fetch those of the first that can be had (without
            it, the first is meant), and pin the commit. A project stays with the commits that it began with.

    Raises:
        MinerError: there is no such model, or its weights cannot be had.
    """
    if stage is Stage.EMBED and name == FILTER_MODEL:
        # By its place: as embedder, `demo` is another model.
        filters = resolve(chosen_model(config, Stage.FILTER, config.filter.model, fetch=fetch), TEXT_IMAGE)
        return f"{filters.location}@{filters.revision}" if filters.revision else filters.location
    if len(candidates(name)) > 1:
        from miner_resources.models.weights import settle

        name = settle(", ".join(_without_absent_services(config, name, TASKS[stage])), TASKS[stage], fetch=fetch)
    source = resolve(name, TASKS[stage])
    if fetch and source.is_service:
        check_service(config, source)
    if not source.is_hub or source.revision:
        return name
    commit = _pinned(config, source, fetch=fetch)
    return f"{name}@{commit}" if commit else name


def check_service(config: MinerConfig, source: ModelSource) -> None:
    """Find out whether a web service or optional package can be used, before hours are spent on getting to it.

    Raises:
        NotConfigured: a package, a device, or a key is missing.
    """
    if source.is_service:
        from miner_resources.models import loading

        loading.check_service(source, config.device)


def _without_absent_services(config: MinerConfig, names: str, task: str) -> list[str]:
    """Of several models those that are no service, and services that can be used; all, if that leaves none."""
    wanted, usable = candidates(names), list[str]()
    for name in wanted:
        try:
            check_service(config, resolve(name, task))
        except NotConfigured:
            continue
        usable.append(name)
    return usable or wanted


def _pinned(config: MinerConfig, source: ModelSource, *, fetch: bool) -> str | None:
    """The commit that the project uses of a repository that the catalogue does not pin."""
    storage = Storage(config.output_dir)
    pins = _read_pins(storage)
    if source.location in pins or not fetch:
        return pins.get(source.location)
    from miner_resources.models.weights import fetch_weights

    commit = fetch_weights(source).name  # the cache names folders by commit
    with file_lock(storage.model_revisions.with_suffix(".lock")):
        pins = {source.location: commit} | _read_pins(storage)
        with storage.publish_file(storage.model_revisions) as target:
            target.write_text(json.dumps(pins, indent=1, sort_keys=True), encoding="utf-8")
    return pins[source.location]


def _read_pins(storage: Storage) -> dict[str, str]:
    try:
        return json.loads(storage.model_revisions.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise InvalidData(
            f"{storage.model_revisions} cannot be read: {error}",
            remedy="delete it; models are then pinned anew, and computed anew if they changed",
        ) from error


def model_identity(config: MinerConfig, stage: Stage, name: str, *choices: Json) -> str:
    """Changes when a stage's model would compute other numbers: weights, number format, and what else was chosen."""
    source = resolve(chosen_model(config, stage, name), TASKS[stage])
    return stable_hash(source.identity, config.precision, config.compile_models, *choices)


def device_settings(config: MinerConfig) -> dict[str, Any]:
    """What the model resources are made with."""
    return {"device": config.device, "precision": config.precision, "compile_models": config.compile_models}
