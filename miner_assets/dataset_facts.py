"""What the dataset card says, gathered from the project."""

import numpy as np
import polars as pl

from miner_assets.dedup_curve import dedup_curve
from miner_assets.funnel import count_funnel
from miner_assets.logic.coco_format import Coco
from miner_assets.logic.dataset_card import CardFacts, UsedModel
from miner_assets.model_choice import TASKS, chosen_model
from miner_assets.workspace import Workspace
from miner_resources.config_sections import DatasetConfig
from miner_resources.models.catalogue import CATALOGUE
from miner_resources.models.sources import resolve
from miner_resources.records import Json, Stage

_WIDTH = 0.01


def card_facts(
    workspace: Workspace,
    config: DatasetConfig,
    coco: Coco,
    unique: pl.DataFrame,
    version: tuple[str, dict[str, Json], dict[str, Json]],
) -> CardFacts:
    """The facts of one dataset.

    Args:
        workspace: the project.
        config: of the dataset.
        coco: what was written.
        unique: rows of `UNIQUE_FRAMES_SCHEMA`.
        version: its id, how the splits were made, and how similar they are.
    """
    whole = workspace.config
    identity, split, similarity = version
    keywords = sorted(workspace.catalog.keywords(), key=lambda row: row.keyword)
    return CardFacts(
        title=config.name,
        description=config.description,
        contact=config.contact,
        version=identity,
        coco=coco,
        funnel=count_funnel(workspace, coco),
        searches={
            row.keyword: row.last_searched_at.date().isoformat() if row.last_searched_at else None for row in keywords
        },
        models=_models(workspace),
        thresholds={
            "extraction.strategy": whole.extraction.strategy,
            "filter.threshold": whole.filter.threshold,
            "dedup.threshold": whole.dedup.threshold,
            "dedup.cross_video_threshold": whole.dedup.across,
            "detection.confidence_threshold": whole.detection.confidence_threshold,
            "rights": whole.rights,
        },
        split=split,
        similarity=similarity,
        repeats=_repeats(unique),
        curve=dedup_curve(workspace, len(unique)),
    )


def _models(workspace: Workspace) -> list[UsedModel]:
    config = workspace.config
    named = (
        (Stage.FILTER, config.filter.model),
        (Stage.EMBED, config.dedup.model),
        (Stage.DETECT, config.detection.detector),
    )
    used: list[UsedModel] = []
    for stage, name in named:
        chosen = chosen_model(config, stage, name)
        source = resolve(chosen, TASKS[stage])
        base = chosen.partition("@")[0]
        entry = next((one for one in CATALOGUE if base in (one.name, one.hub_id) and one.task == TASKS[stage]), None)
        # Where somebody's folder lies is nobody's business.
        where = source.location if source.is_hub or source.is_service else "a local folder"
        licence = entry.licence if entry else "not in the catalogue"
        used.append(UsedModel(stage.value, source.name if entry else where, where, source.revision, licence))
    return used


def _repeats(unique: pl.DataFrame) -> list[tuple[float, float, int]]:
    values = unique.filter(~pl.col("kept"))["similarity"].drop_nulls().to_numpy()
    if not len(values):
        return []
    low = np.floor(values.min() / _WIDTH) * _WIDTH
    edges = np.round(np.arange(low, 1.0 + _WIDTH, _WIDTH), 2)
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    return [(float(a), float(b), int(n)) for a, b, n in zip(edges, edges[1:], counts, strict=False) if n]
