"""Make the generated parts of the documentation anew: `make docs`. A test fails when they are out of date."""

from pathlib import Path

from miner_resources.models.page import refreshed

PAGE = Path(__file__).parents[1] / "docs" / "models.md"

if __name__ == "__main__":
    PAGE.write_text(refreshed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
