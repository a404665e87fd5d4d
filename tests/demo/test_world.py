"""The synthetic world: truth that really is true."""

import numpy as np
import pytest

from miner_resources.demo.rendering import Look, SceneRenderer, film, first_look, other_look
from miner_resources.demo.world import CLASSES, HEIGHT, SCENE_SECONDS, WIDTH, SceneKind, look_alike, make_scene

SEEDS = range(900_000, 900_020)
TIMES = np.linspace(0, SCENE_SECONDS, 9)


@pytest.mark.parametrize("kind", list(SceneKind))
def test_the_same_seed_gives_the_same_scene(kind: SceneKind) -> None:
    assert make_scene(5, kind) == make_scene(5, kind)
    assert make_scene(5, kind) != make_scene(6, kind)


@pytest.mark.parametrize("seed", SEEDS)
def test_bodies_stay_in_the_picture_and_apart(seed: int) -> None:
    scene = make_scene(seed, SceneKind.TARGETS)
    for second in TIMES:
        centres = []
        for body in scene.bodies:
            corners = body.corners(float(second))
            assert corners.min() >= 0
            assert (corners <= [WIDTH, HEIGHT]).all()
            centres.append((corners.mean(axis=0), body.radius_px))
        for place, (one, radius) in enumerate(centres):
            assert all(np.hypot(*(one - other)) > radius + r - 3 for other, r in centres[place + 1 :])


@pytest.mark.parametrize("seed", SEEDS)
def test_boxes_hold_the_pixels_of_their_class(seed: int) -> None:
    rgb, boxes = SceneRenderer(make_scene(seed, SceneKind.TARGETS)).draw(1.0)
    assert boxes
    for box in boxes:
        colour = np.array(CLASSES[box.label][1])
        near = np.abs(rgb.astype(int) - colour).max(axis=2) < 60
        inside = near[int(box.y) : int(box.y + box.h) + 1, int(box.x) : int(box.x + box.w) + 1]
        assert inside.mean() > 0.2, "a star fills least of its box"
        middle = near[int(box.y + box.h / 2), int(box.x + box.w / 2)]
        assert middle


def test_only_targets_have_boxes() -> None:
    for kind in (SceneKind.DISTRACTORS, SceneKind.EMPTY):
        scene = make_scene(3, kind)
        assert scene.classes == ()
        assert SceneRenderer(scene).draw(0.5)[1] == []


def test_a_scene_looks_like_itself_only() -> None:
    scenes = [make_scene(seed, SceneKind.TARGETS) for seed in SEEDS]
    assert all(look_alike(scene, scene) for scene in scenes)
    alike = sum(look_alike(one, other) for one in scenes for other in scenes if one is not other)
    assert alike <= 0.1 * len(scenes) ** 2, "rare enough to draw again"


def test_boxes_follow_the_crop() -> None:
    renderer = SceneRenderer(make_scene(7, SceneKind.TARGETS))
    rng = np.random.default_rng(0)
    _, plain = film(renderer, 1.0, Look(noise=0), rng)
    _, zoomed = film(renderer, 1.0, Look(noise=0, zoom=1.1, shift=(0.0, 0.0)), rng)
    for before, after in zip(plain, zoomed, strict=True):
        assert after.w == pytest.approx(before.w * 1.1)
        assert after.x == pytest.approx(before.x * 1.1)
        assert after.x >= 0
        assert after.x + after.w <= WIDTH


def test_copies_differ_in_pixels_but_not_beyond_recognition() -> None:
    rng = np.random.default_rng(1)
    renderer = SceneRenderer(make_scene(9, SceneKind.TARGETS))
    look = first_look(rng)
    one, _ = film(renderer, 1.0, look, rng)
    copy, _ = film(renderer, 1.0, other_look(look, rng), rng)
    difference = np.abs(one.astype(int) - copy.astype(int)).mean()
    assert 1 < difference < 60
    with pytest.raises(ValueError, match="zoom"):
        Look(zoom=2.0)
