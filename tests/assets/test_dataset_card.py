"""The dataset card of a mined project."""

from dataclasses import replace
from typing import Any

import pytest

from miner_assets.dataset_facts import card_facts
from miner_assets.logic.coco_format import read_coco
from miner_assets.logic.dataset_card import CardFacts, dataset_card
from miner_assets.pipeline_run import PipelineRun
from miner_assets.workspace import Workspace
from miner_resources.config import MinerConfig
from miner_resources.records import UNIQUE_FRAMES_SCHEMA
from miner_resources.tables import read_table


@pytest.fixture
def facts(mined: tuple[MinerConfig, PipelineRun]) -> CardFacts:
    workspace = Workspace.open(mined[0])
    coco = read_coco(workspace.storage.annotations)
    unique = read_table(workspace.storage.unique_table, UNIQUE_FRAMES_SCHEMA)
    split: dict[str, Any] = {"method": "by groups", "group_by": "video", "warnings": ["few videos"]}
    similarity: dict[str, Any] = {
        "threshold": 0.85,
        "highest": 0.7,
        "edges": [0.0, 0.5, 1.0],
        "counts": {"train": [3, 4]},
    }
    return card_facts(workspace, workspace.config.dataset, coco, unique, ("abc", split, similarity))


def test_the_project_has_one_with_its_numbers(mined: tuple[MinerConfig, PipelineRun], facts: CardFacts) -> None:
    card = (Workspace.open(mined[0]).storage.dataset / "README.md").read_text()
    coco = facts.coco
    assert f"{len(coco['images'])} pictures from {len(coco['videos'])} videos, {len(coco['annotations'])} boxes" in card
    for title in ("What is in it", "Where it is from", "Near-duplicates", "Splits", "Rights", "Takedown"):
        assert f"## {title}" in card
    removed = sum(count for _, _, count in facts.repeats)
    assert f"{removed} frames were removed" in card or "No frame was removed" in card
    assert sum(row.boxes for row in facts.funnel) == len(coco["annotations"])
    assert sum(row.unique for row in facts.funnel) == len(coco["images"])


def test_the_curve_has_what_is_in_the_dataset_at_the_threshold_that_was_used(facts: CardFacts) -> None:
    (used,) = [row for row in facts.curve if row.current]
    assert used.images == len(facts.coco["images"])
    assert [row.threshold for row in facts.curve] == sorted(row.threshold for row in facts.curve)
    assert facts.curve[0].images < facts.curve[-1].images
    card = dataset_card(facts)
    for row in facts.curve:
        mark = ", as used" if row.current else ""
        assert f"| {row.threshold:g}{mark} | {row.kept} | {row.images:,} |" in card
    assert "other thresholds" not in dataset_card(replace(facts, curve=()))


def test_it_names_models_with_their_licences_and_no_folder_of_this_machine(
    mined: tuple[MinerConfig, PipelineRun], facts: CardFacts
) -> None:
    card = dataset_card(facts)
    assert card.count("Apache-2.0") == 3
    assert str(mined[0].output_dir) not in card
    assert "/demo/checkpoints" not in card


def test_the_same_facts_give_the_same_card(facts: CardFacts) -> None:
    assert dataset_card(facts) == dataset_card(facts)


def test_splits_are_told_with_their_check(facts: CardFacts) -> None:
    card = dataset_card(facts)
    assert "a cosine of 0.7; from 0.85 on" in card
    assert "few videos" in card
    assert "| train | 3 | 4 |" in card
    assert "only one split" in dataset_card(replace(facts, similarity={}))


def test_whom_to_ask_is_named(facts: CardFacts) -> None:
    assert "write to me@example.org" in dataset_card(replace(facts, contact="me@example.org"))
    assert "no contact was named" in dataset_card(facts)


@pytest.mark.parametrize("hostile", ["<img src=x onerror=alert(1)>", "a | b", "[x](javascript:y)", "line\n# title"])
def test_a_keyword_from_strangers_is_only_text(facts: CardFacts, hostile: str) -> None:
    row = replace(facts.funnel[0], keyword=hostile)
    card = dataset_card(replace(facts, funnel=[row], searches={hostile: None}, title=hostile))
    plain = dataset_card(replace(facts, funnel=[replace(row, keyword="k")], searches={"k": None}, title="k"))
    assert len(card.splitlines()) == len(plain.splitlines())
    assert "<img" not in card.replace("\\<img", "")
    assert "](javascript" not in card
