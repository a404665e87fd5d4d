"""The Dagster UI as people use it: a backfill with broken videos, the graph, tables and pictures, in a real browser."""

import io
import os
import shutil
import subprocess
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from miner_assets.instance import open_instance
from miner_assets.metadata import ADDRESS
from miner_assets.score_chart import SIDES
from miner_assets.search import register_inputs
from miner_assets.workspace import Workspace
from miner_resources.config import MinerConfig
from miner_resources.config_files import to_yaml
from tests.assets.dagster_dev import LONGEST_S, PROGRAM, ask, free_port, running_dev, wait_for
from tests.assets.pipelines import dagster_home, demo_config
from tests.video_factory import write_video

GOOD, BROKEN = 28, 2
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = ("--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run", "--no-sandbox")

BACKFILL = """mutation ($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
BACKFILL_STATUS = """query ($id: String!) { partitionBackfillOrError(backfillId: $id) {
    ... on PartitionBackfill { status } } }"""
COUNTS = """query ($path: [String!]!) { assetNodeOrError(assetKey: {path: $path}) {
    ... on AssetNode { partitionStats { numMaterialized numFailed numPartitions } } } }"""
RUNS = "{ runsOrError { ... on Runs { results { status } } } }"


@pytest.fixture(scope="module")
def project(demo_videos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[MinerConfig, list[str]]:
    """One mined video of the demo world, and 30 registered ones of which two are broken."""
    folder = tmp_path_factory.mktemp("ui")
    # The usual port may be taken by another test at that moment; what is mined now is shown by the server of later.
    os.environ[ADDRESS] = f"http://127.0.0.1:{free_port()}"
    mined = demo_config(folder / "output", [demo_videos / "demo_00.mp4"])
    file = folder / "project.yaml"
    file.write_text(to_yaml(mined))
    subprocess.run([PROGRAM, "run-config", file], check=True, capture_output=True)

    videos = folder / "videos"
    videos.mkdir()
    for number in range(GOOD):
        write_video(videos / f"good_{number:02d}.mp4", frames=10 + number)
    for number in range(BROKEN):
        (videos / f"broken_{number}.mp4").write_bytes(f"no video {number}".encode())
    config = demo_config(folder / "output", [videos])
    file.write_text(to_yaml(config))
    workspace = Workspace.open(config)
    ids = register_inputs(workspace).video_ids
    with dagster_home(config.output_dir), open_instance(workspace.storage) as instance:
        instance.add_dynamic_partitions("videos", ids)
    return config, ids


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def dev(project: tuple[MinerConfig, list[str]], port: int) -> Generator[subprocess.Popen[bytes]]:
    output = project[0].output_dir
    with running_dev(output.parent / "dev.log", output.parent / "project.yaml", "--port", port) as process:
        assert wait_for(lambda: bool(ask(port, RUNS)), process), (output.parent / "dev.log").read_text()[-3000:]
        yield process


@pytest.fixture(scope="module")
def page(dev: subprocess.Popen[bytes], port: int) -> Generator[Page]:
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        opened = browser.new_page(viewport={"width": 1600, "height": 1000}, base_url=f"http://127.0.0.1:{port}")
        opened.set_default_timeout(90_000)
        yield opened
        browser.close()


@pytest.mark.slow
@pytest.mark.timeout(3 * LONGEST_S)
def test_a_backfill_materializes_what_it_can_and_fails_the_rest_alone(
    dev: subprocess.Popen[bytes], project: tuple[MinerConfig, list[str]], port: int
) -> None:
    config, ids = project
    params = {"assetSelection": [{"path": ["videos"]}], "partitionNames": ids, "fromFailure": False}
    started = ask(port, BACKFILL, {"params": params})["launchPartitionBackfill"]
    assert started["__typename"] == "LaunchBackfillSuccess", started

    def ended() -> bool:
        found = ask(port, BACKFILL_STATUS, {"id": started["backfillId"]})["partitionBackfillOrError"]
        return found["status"] in ("COMPLETED", "COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILED")

    assert wait_for(ended, dev)
    stats: dict[str, Any] = ask(port, COUNTS, {"path": ["videos"]})["assetNodeOrError"]["partitionStats"]
    assert stats == {"numMaterialized": GOOD + 1, "numFailed": BROKEN, "numPartitions": GOOD + BROKEN + 1}
    records = Workspace.open(config).catalog.stage_records(ids=ids)
    assert sum(record.status == "failed" for record in records) == BROKEN


@pytest.mark.slow
@pytest.mark.timeout(LONGEST_S)
def test_the_graph_shows_every_asset(page: Page) -> None:
    page.goto("/assets/dataset?view=lineage&lineageScope=upstream&lineageDepth=10", wait_until="domcontentloaded")
    for name in ("videos", "frames", "filtered_frames", "embeddings", "detections", "unique_frames"):
        page.get_by_text(name, exact=True).first.wait_for()


@pytest.mark.slow
@pytest.mark.timeout(LONGEST_S)
def test_tables_and_pictures_are_there_to_be_seen(page: Page, project: tuple[MinerConfig, list[str]]) -> None:
    (mined,) = (path.stem for path in (project[0].output_dir / "contact_sheets" / "filter").glob("*.jpg"))
    page.goto(f"/assets/filtered_frames?view=partitions&partition={mined}", wait_until="domcontentloaded")
    page.get_by_role("columnheader", name="threshold").first.wait_for()
    picture = page.locator("img[src*='contact_sheets']").first
    picture.scroll_into_view_if_needed()
    page.wait_for_function("image => image.complete && image.naturalWidth > 0", arg=picture.element_handle())
    with Image.open(io.BytesIO(picture.screenshot())) as shot:
        pixels = np.asarray(shot.convert("RGB")).astype(int)
    for side in ("above", "below"):
        near = np.abs(pixels - SIDES[side]).max(axis=2) < 40
        assert near.sum() > 300, f"borders and bars of frames {side} the threshold are visible"


@pytest.mark.slow
@pytest.mark.timeout(LONGEST_S)
def test_checks_are_listed_with_their_results(page: Page) -> None:
    page.goto("/assets/dataset?view=checks", wait_until="domcontentloaded")
    for name in ("rights", "splits_do_not_leak", "valid"):
        page.get_by_text(name, exact=True).first.wait_for()
