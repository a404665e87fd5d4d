"""What Dagster loads follows the environment, and does not keep pools while a site cools down."""

from pathlib import Path

import pytest

from miner_assets.definitions import PATIENCE_S, configured_workspace


@pytest.mark.parametrize(("patience", "expected"), [("null", PATIENCE_S), ("5", 5), ("86400", 86400)])
def test_runs_of_dagster_wait_a_minute_unless_told_otherwise(
    patience: str, expected: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f"output_dir: {tmp_path}/elsewhere\npacing: {{patience: {patience}}}\n")
    monkeypatch.setenv("VIDEO_MINER_CONFIG", str(file))
    monkeypatch.setenv("VIDEO_MINER_OUTPUT", str(tmp_path / "output"))
    workspace = configured_workspace()
    assert workspace.config.pacing.patience == expected
    assert workspace.storage.root == tmp_path / "output"
