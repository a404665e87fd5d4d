"""The synthetic world of the demo: scenes of moving coloured shapes whose truth is known exactly.

Every class is one colour with one shape, so a picture is never ambiguous; grey shapes belong to no class. A scene is a
background and a few bodies whose paths are closed formulas of time. Bodies neither leave the picture nor overlap.
`rendering` turns a scene into pictures and boxes; `videos` strings scenes together. Everything follows from a seed.
To add a class: extend `CLASSES`, give its outline to `OUTLINES`, and train the demo models again.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt

WIDTH: Final = 320
HEIGHT: Final = 180
SCENE_SECONDS: Final = 4.0
"""Bodies are free of overlap from time 0 to this time; no shot is longer."""

CLASSES: Final[dict[str, tuple[str, tuple[int, int, int]]]] = {
    "red circle": ("circle", (214, 40, 40)),
    "blue square": ("square", (40, 90, 215)),
    "green triangle": ("triangle", (40, 160, 70)),
    "yellow star": ("star", (240, 200, 40)),
}
"""Class name → outline and RGB colour."""

OUTLINES: Final[dict[str, tuple[int, tuple[float, ...]]]] = {
    "circle": (48, (1.0,)),
    "square": (4, (1.0,)),
    "triangle": (3, (1.0,)),
    "star": (10, (1.0, 0.48)),
    "hexagon": (6, (1.0,)),
    "cross": (12, (1.0, 1.0, 0.42)),
    "lozenge": (4, (1.0, 0.45)),
}
"""Outline → number of corners and their radii in turn, as parts of the radius of the body."""

DISTRACTOR_OUTLINES: Final = ("hexagon", "cross", "lozenge")
BACKGROUNDS: Final = ("gradient", "stripes", "checker", "bokeh", "hills", "rings")

MARGIN: Final = 0.07
"""Part of the picture along each edge that no body enters, so that a crop of `rendering.MAX_ZOOM` cuts none."""


class SceneKind(StrEnum):
    """What a scene shows besides its background."""

    TARGETS = "targets"
    DISTRACTORS = "distractors"
    EMPTY = "empty"


@dataclass(frozen=True, kw_only=True)
class Axis:
    """Motion along one axis: `middle + reach * wave(phase + frequency * t)`; wave has period 1 and range -1..1."""

    middle_px: float
    reach_px: float
    frequency_hz: float
    phase: float
    bounces: bool

    def at(self, seconds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Positions in pixels at the given times, same shape."""
        turns = self.phase + self.frequency_hz * seconds
        if self.bounces:
            return self.middle_px + self.reach_px * (4 * np.abs(turns % 1 - 0.5) - 1)
        return self.middle_px + self.reach_px * np.sin(2 * math.pi * turns)


@dataclass(frozen=True, kw_only=True)
class Body:
    """One shape with its path. `label` is a key of `CLASSES`, or None for a grey distractor."""

    label: str | None
    outline: str
    rgb: tuple[int, int, int]
    radius_px: float
    x: Axis
    y: Axis
    turn_rad: float
    turn_rad_per_s: float

    def corners(self, second: float) -> npt.NDArray[np.float64]:
        """Corners of the outline in pixels at a time, (n, 2), x then y."""
        count, radii = OUTLINES[self.outline]
        steps = np.arange(count)
        angle = self.turn_rad + self.turn_rad_per_s * second + 2 * math.pi * steps / count
        length = self.radius_px * np.asarray(radii)[steps % len(radii)]
        centre = np.array([self.x.at(np.array(second)), self.y.at(np.array(second))])
        return centre + length[:, None] * np.stack([np.sin(angle), -np.cos(angle)], axis=1)


@dataclass(frozen=True, kw_only=True)
class Background:
    """A muted pattern between two colours that the camera slowly pans over."""

    family: str
    dark: tuple[int, int, int]
    light: tuple[int, int, int]
    angle_rad: float
    period_px: float
    pan_px: tuple[float, float]
    pan_hz: float
    detail_seed: int


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What one shot shows. `key` is equal for all copies of a scene and for nothing else."""

    key: str
    kind: SceneKind
    background: Background
    bodies: tuple[Body, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes that are present, sorted, each once."""
        return tuple(sorted({body.label for body in self.bodies if body.label is not None}))


def make_scene(seed: int, kind: SceneKind, *, first_class: str | None = None) -> Scene:
    """Draw a scene.

    Args:
        seed: not negative; the same seed, kind and class give the same scene.
        kind: targets (1 to 3 bodies of classes, sometimes a distractor), distractors (1 to 3), or empty.
        first_class: class of the first target, to balance classes; drawn if None.
    """
    rng = np.random.default_rng(seed)
    background = _draw_background(rng)
    bodies: list[Body] = []
    for label in _draw_labels(rng, kind, first_class):
        body = _place_body(rng, label, bodies)
        if body is not None:
            bodies.append(body)
    return Scene(key=f"{kind}-{seed}", kind=kind, background=background, bodies=tuple(bodies))


def look_alike(one: Scene, other: Scene) -> bool:
    """Whether two scenes could be taken for one: same background family and nearly the same two colours."""
    a, b = one.background, other.background
    if a.family != b.family:
        return False
    colours = np.subtract((*a.dark, *a.light), (*b.dark, *b.light))
    return float(np.abs(colours).mean()) < LOOK_ALIKE_LEVELS


LOOK_ALIKE_LEVELS: Final = 16.0
"""Mean difference of the two background colours, in 0..255, under which two scenes count as look-alikes."""


def _draw_labels(rng: np.random.Generator, kind: SceneKind, first_class: str | None) -> list[str | None]:
    if kind is SceneKind.EMPTY:
        return []
    count = int(rng.choice([1, 2, 3], p=[0.4, 0.4, 0.2]))
    if kind is SceneKind.DISTRACTORS:
        return [None] * count
    labels: list[str | None] = [str(name) for name in rng.choice(list(CLASSES), size=count)]
    if first_class is not None:
        labels[0] = first_class
    return [*labels, None] if rng.random() < 0.35 else labels


def _draw_background(rng: np.random.Generator) -> Background:
    dark_level, contrast = rng.uniform(50, 130), rng.uniform(28, 75)
    tint = rng.uniform(-22, 22, size=(2, 3))
    dark, light = (np.clip(level + tint[i], 0, 255) for i, level in enumerate((dark_level, dark_level + contrast)))
    return Background(
        family=str(rng.choice(BACKGROUNDS)),
        dark=_rgb(dark),
        light=_rgb(light),
        angle_rad=float(rng.uniform(0, math.pi)),
        period_px=float(rng.uniform(28, 64)),
        pan_px=(float(rng.uniform(-12, 12)), float(rng.uniform(-8, 8))),
        pan_hz=float(rng.uniform(0.05, 0.15)),
        detail_seed=int(rng.integers(2**31)),
    )


def _place_body(rng: np.random.Generator, label: str | None, others: list[Body]) -> Body | None:
    for _ in range(60):
        body = _draw_body(rng, label)
        if all(_stay_apart(body, other) for other in others):
            return body
    return None


def _draw_body(rng: np.random.Generator, label: str | None) -> Body:
    if label is None:
        outline = str(rng.choice(DISTRACTOR_OUTLINES))
        level = float(rng.choice([rng.uniform(25, 75), rng.uniform(165, 230)]))
        colour = np.full(3, level) + rng.uniform(-5, 5, size=3)
    else:
        outline, base = CLASSES[label]
        colour = np.clip(np.asarray(base) + rng.uniform(-16, 16, size=3), 0, 255)
    radius = float(rng.uniform(20, 36))
    bounces = bool(rng.random() < 0.5)
    return Body(
        label=label,
        outline=outline,
        rgb=_rgb(colour),
        radius_px=radius,
        x=_draw_axis(rng, WIDTH, radius, bounces=bounces),
        y=_draw_axis(rng, HEIGHT, radius, bounces=bounces),
        turn_rad=float(rng.uniform(-0.6, 0.6)),
        turn_rad_per_s=float(rng.uniform(-0.5, 0.5)),
    )


def _draw_axis(rng: np.random.Generator, length: int, radius: float, *, bounces: bool) -> Axis:
    low, high = MARGIN * length + radius, (1 - MARGIN) * length - radius
    middle = float(rng.uniform(low, high))
    reach = float(rng.uniform(0, min(middle - low, high - middle)))
    speed = float(rng.uniform(8, 50))
    return Axis(
        middle_px=middle,
        reach_px=reach,
        frequency_hz=min(speed / (4 * reach + 1), 0.5),
        phase=float(rng.uniform(0, 1)),
        bounces=bounces,
    )


def _stay_apart(one: Body, other: Body) -> bool:
    seconds = np.linspace(0, SCENE_SECONDS, 49)
    distance = np.hypot(one.x.at(seconds) - other.x.at(seconds), one.y.at(seconds) - other.y.at(seconds))
    return bool(distance.min() > one.radius_px + other.radius_px + 3)


def _rgb(values: npt.NDArray[np.float64]) -> tuple[int, int, int]:
    red, green, blue = (round(float(value)) for value in values)
    return red, green, blue
