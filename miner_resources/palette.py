"""One colour per class, the same wherever its boxes are drawn, and told apart by colour-blind people.

The colours are those of Okabe and Ito without black (https://jfly.uni-koeln.de/color/), then lighter and darker shades
of them for projects with many classes. Colour is never the only sign: whoever draws a box writes its class beside it.
"""

import zlib
from collections.abc import Iterable
from typing import Final

Color = tuple[int, int, int]

SHEET: Final[Color] = (24, 26, 31)
"""The ground of contact sheets and charts."""

OKABE_ITO: Final[tuple[Color, ...]] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
_SHADES: Final = ((0, 0.0), (255, 0.5), (0, 0.45))
"""What the colours of each round are mixed with, and how much of it there is."""

PALETTE: Final[tuple[Color, ...]] = tuple(
    (
        round(red + (tone - red) * share),
        round(green + (tone - green) * share),
        round(blue + (tone - blue) * share),
    )
    for tone, share in _SHADES
    for red, green, blue in OKABE_ITO
)


def class_colors(names: Iterable[str]) -> dict[str, Color]:
    """A colour for each class, in the order given.

    A class has the colour that its name stands for, or the next free one where two names stand for the same. So it
    keeps its colour when classes are added after it, and up to 21 classes differ from each other.
    """
    colors: dict[str, Color] = {}
    used: set[int] = set()
    for name in names:
        if name in colors:
            continue
        rounds = range(0, len(PALETTE), len(OKABE_ITO))
        place = zlib.crc32(name.encode()) % len(OKABE_ITO)
        slots = [start + (place + step) % len(OKABE_ITO) for start in rounds for step in range(len(OKABE_ITO))]
        slot = next((slot for slot in slots if slot not in used), place)
        used.add(slot)
        colors[name] = PALETTE[slot]
    return colors


def hex_color(color: Color) -> str:
    """A colour as HTML writes it: `#e69f00`."""
    return "#{:02x}{:02x}{:02x}".format(*color)


def ink_on(color: Color) -> Color:
    """Black or white, whichever reads better on `color`: the higher contrast as WCAG 2 defines it."""
    luminance = _luminance(color)
    return (0, 0, 0) if (luminance + 0.05) / 0.05 >= 1.05 / (luminance + 0.05) else (255, 255, 255)


def _luminance(color: Color) -> float:
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in (c / 255 for c in color)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
