"""Pictures and boxes of a scene: drawing with antialiasing, then what a camera and an encoder do to it.

`SceneRenderer` draws clean frames; a `Look` says how one copy of a shot was filmed and stored (exposure, noise, crop,
soft rescale, JPEG); `film` joins both. Training, tests and `videos` all take their frames from here.
"""

import io
import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from miner_resources.demo.world import HEIGHT, WIDTH, Background, Scene

Rgb = npt.NDArray[np.uint8]

MAX_ZOOM: Final = 1.12
"""A crop keeps at least 1/1.12 of each side: `world.MARGIN` on both sides is larger than what it can cut."""

_SCALE: Final = 2
_PAN_ROOM: Final = 16
_EDGE_DARKER: Final = 0.72


@dataclass(frozen=True, kw_only=True)
class Box:
    """Where one target is: absolute pixels, x and y of the top left corner."""

    label: str
    x: float
    y: float
    w: float
    h: float


@dataclass(frozen=True, kw_only=True)
class Look:
    """How one copy of a shot was filmed and stored. `zoom` 1.0 shows everything; `shift` in 0..1 places the crop."""

    gain: float = 1.0
    noise: float = 3.0
    zoom: float = 1.0
    shift: tuple[float, float] = (0.5, 0.5)
    softness: float = 1.0
    jpeg_quality: int | None = None

    def __post_init__(self) -> None:
        if not 1.0 <= self.zoom <= MAX_ZOOM:
            raise ValueError(f"zoom {self.zoom} is outside 1..{MAX_ZOOM}: bodies could be cut")


def first_look(rng: np.random.Generator) -> Look:
    """The look of an original: any exposure, weak noise, whole picture."""
    return Look(gain=float(rng.uniform(0.85, 1.12)), noise=float(rng.uniform(1.5, 5)))


def other_look(look: Look, rng: np.random.Generator) -> Look:
    """The look of a copy of the same shot in another video: other exposure, noise, crop, size and encoding."""
    return Look(
        gain=float(np.clip(look.gain * rng.uniform(0.88, 1.13), 0.78, 1.2)),
        noise=float(rng.uniform(1.5, 7)),
        zoom=float(rng.choice([1.0, rng.uniform(1.0, MAX_ZOOM)])),
        shift=(float(rng.uniform()), float(rng.uniform())),
        softness=float(rng.choice([1.0, rng.uniform(0.5, 0.9)])),
        jpeg_quality=int(rng.integers(35, 90)) if rng.random() < 0.6 else None,
    )


class SceneRenderer:
    """Draws clean frames of one scene; the background is computed once."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._canvas = _background_canvas(scene.background)

    def draw(self, second: float) -> tuple[Rgb, list[Box]]:
        """The picture, (HEIGHT, WIDTH, 3), and the boxes of the targets in it."""
        picture = self._background(second)
        pen = ImageDraw.Draw(picture)
        boxes: list[Box] = []
        for body in self.scene.bodies:
            corners = body.corners(second)
            edge = tuple(round(value * _EDGE_DARKER) for value in body.rgb)
            outline = [(float(x), float(y)) for x, y in corners * _SCALE]
            pen.polygon(outline, fill=edge)
            centre = corners.mean(axis=0)
            inner = centre + (corners - centre) * (1 - 2.5 / body.radius_px)
            pen.polygon([(float(x), float(y)) for x, y in inner * _SCALE], fill=body.rgb)
            if body.label is not None:
                (x, y), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
                boxes.append(Box(label=body.label, x=float(x), y=float(y), w=float(right - x), h=float(bottom - y)))
        return np.asarray(picture.reduce(_SCALE)), boxes

    def _background(self, second: float) -> Image.Image:
        background = self.scene.background
        swing = math.sin(2 * math.pi * background.pan_hz * second)
        left, top = (round(_SCALE * (_PAN_ROOM + reach * swing)) for reach in background.pan_px)
        return self._canvas.crop((left, top, left + _SCALE * WIDTH, top + _SCALE * HEIGHT))


def film(renderer: SceneRenderer, second: float, look: Look, rng: np.random.Generator) -> tuple[Rgb, list[Box]]:
    """A frame as stored: drawn, cropped, exposed, with noise, softened and compressed. Boxes follow the crop."""
    clean, boxes = renderer.draw(second)
    image, boxes = _crop(Image.fromarray(clean), boxes, look)
    if look.softness < 1:
        small = (round(WIDTH * look.softness), round(HEIGHT * look.softness))
        image = image.resize(small, Image.Resampling.BOX).resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)
    exposed = np.asarray(image, np.float32) * np.float32(look.gain)
    exposed += np.float32(look.noise) * rng.standard_normal(exposed.shape, dtype=np.float32)
    stored = np.clip(exposed + 0.5, 0, 255).astype(np.uint8)
    return (stored if look.jpeg_quality is None else compress(stored, look.jpeg_quality)), boxes


def compress(rgb: Rgb, quality: int) -> Rgb:
    """The frame after a trip through JPEG with 4:2:0 colour."""
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=quality, subsampling=2)
    return np.asarray(Image.open(buffer).convert("RGB"))


def _crop(image: Image.Image, boxes: list[Box], look: Look) -> tuple[Image.Image, list[Box]]:
    if look.zoom == 1:
        return image, boxes
    width, height = WIDTH / look.zoom, HEIGHT / look.zoom
    left, top = look.shift[0] * (WIDTH - width), look.shift[1] * (HEIGHT - height)
    window = (left, top, left + width, top + height)
    zoomed = image.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR, box=window)
    zoom = look.zoom
    moved = [Box(label=b.label, x=(b.x - left) * zoom, y=(b.y - top) * zoom, w=b.w * zoom, h=b.h * zoom) for b in boxes]
    return zoomed, moved


def _background_canvas(background: Background) -> Image.Image:
    """The whole pattern at `_SCALE`, with room around the picture for the pan."""
    height, width = (_SCALE * (side + 2 * _PAN_ROOM) for side in (HEIGHT, WIDTH))
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / _SCALE - _PAN_ROOM
    mix = _pattern(background, x, y)[..., None]
    dark, light = np.asarray(background.dark, np.float32), np.asarray(background.light, np.float32)
    return Image.fromarray((dark + (light - dark) * mix + 0.5).astype(np.uint8))


def _pattern(
    background: Background, x: npt.NDArray[np.float32], y: npt.NDArray[np.float32]
) -> npt.NDArray[np.floating]:
    """Share of the light colour per pixel, 0..1."""
    cosine, sine, period = math.cos(background.angle_rad), math.sin(background.angle_rad), background.period_px
    u, v = cosine * x + sine * y, cosine * y - sine * x
    match background.family:
        case "gradient":
            mix = (u - u.min()) / (u.max() - u.min())
        case "stripes":
            mix = ((u / period) % 1 > 0.5).astype(np.float32)
        case "checker":
            mix = (u // period + v // period) % 2
        case "rings":
            mix = (np.hypot(x - WIDTH * cosine**2, y - HEIGHT * sine) / period) % 1
        case "hills":
            mix = _hills(background, x, y)
        case _:
            mix = _bokeh(background, x, y)
    return mix


def _hills(background: Background, x: npt.NDArray[np.float32], y: npt.NDArray[np.float32]) -> npt.NDArray[np.floating]:
    rng = np.random.default_rng(background.detail_seed)
    mix = np.clip(1 - 0.4 * y / HEIGHT, 0, 1)
    for layer in range(3):
        height, length, phase = rng.uniform(8, 22), rng.uniform(60, 160), rng.uniform(0, 6.3)
        ridge = HEIGHT * (0.45 + 0.2 * layer) + height * np.sin(x / length * 2 * math.pi + phase)
        mix = np.where(y > ridge, np.float32(0.5 - 0.25 * layer), mix)
    return mix


def _bokeh(background: Background, x: npt.NDArray[np.float32], y: npt.NDArray[np.float32]) -> npt.NDArray[np.floating]:
    rng = np.random.default_rng(background.detail_seed)
    mix = np.zeros_like(x)
    for _ in range(int(rng.integers(6, 13))):
        radius, level = rng.uniform(14, 52), rng.uniform(0.3, 1)
        inside = np.hypot(x - rng.uniform(0, WIDTH), y - rng.uniform(0, HEIGHT)) < radius
        mix = np.where(inside, np.float32(level), mix)
    return mix
