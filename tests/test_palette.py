"""The colour of a class: stable, and different from the others for everybody."""

from itertools import combinations

import numpy as np
import pytest

from miner_resources.palette import OKABE_ITO, PALETTE, class_colors, hex_color, ink_on

# Viénot, Brettel, Mollon 1999: what protanopes and deuteranopes see of linear RGB.
_SEEN = {
    "protanopia": np.array([[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]]),
    "deuteranopia": np.array([[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]]),
}


def test_a_class_keeps_its_colour_when_others_are_added_after_it() -> None:
    few = class_colors(["person", "car"])
    assert class_colors(["person", "car", "dog", "forklift"]).items() >= few.items()
    assert list(few) == ["person", "car"]


def test_up_to_21_classes_differ() -> None:
    names = [f"class {number}" for number in range(len(PALETTE))]
    assert len(set(class_colors(names).values())) == len(PALETTE) == 21
    assert len(class_colors([*names, "one more"])) == 22


def test_the_first_classes_get_the_plain_colours() -> None:
    assert set(class_colors(map(str, range(7))).values()) == set(OKABE_ITO)


@pytest.mark.parametrize("seen", _SEEN.values(), ids=_SEEN)
def test_plain_colours_differ_for_colour_blind_people(seen: np.ndarray) -> None:
    linear = (np.array(OKABE_ITO) / 255) ** 2.2
    shown = np.clip(linear @ seen.T, 0, 1) ** (1 / 2.2) * 255
    for one, other in combinations(shown, 2):
        assert np.linalg.norm(one - other) > 25


def test_colours_are_written_as_html_does() -> None:
    assert hex_color((230, 159, 0)) == "#e69f00"


def test_ink_has_the_contrast_that_wcag_asks_for() -> None:
    assert ink_on((255, 255, 255)) == (0, 0, 0)
    assert ink_on((0, 0, 0)) == (255, 255, 255)
