"""Templates, and how numbers are written in them. Everything that is put into a template is escaped."""

from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from miner_assets.explore.cards import clock
from miner_assets.explore.queries import reason_text


class Templates:
    """Makes pages from the files in `templates/`.

    Args:
        shared: what all of them may name.
    """

    def __init__(self, **shared: object) -> None:
        self._templates = Environment(
            loader=PackageLoader("miner_assets.explore"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._shared = shared
        filters: dict[str, Callable[..., Any]] = self._templates.filters
        filters.update(clock=clock, reason=reason_text, number=_number, percent=_percent, score=_score)

    def show(self, name: str, values: Mapping[str, object], status: int = 200) -> HTMLResponse:
        """A page."""
        return HTMLResponse(self._templates.get_template(name).render({**self._shared, **values}), status)


def _number(value: float) -> str:
    return f"{value:,}"


def _percent(part: float, whole: float) -> str:
    if not whole:
        return "–"
    share = 100 * part / whole
    return f"{share:.0f} %" if share >= 10 or share == 0 else f"{share:.1f} %"


def _score(value: float | None) -> str:
    """Enough digits to tell scores apart near 0 and 1: `0.91`, `0.0004`, `0.998`."""
    if value is None:
        return "–"
    if value < 0.0001:
        return "0" if value == 0 else "<0.0001"
    if value < 0.1:
        return f"{value:.4f}"
    return f"{value:.3f}" if value > 0.99 else f"{value:.2f}"
