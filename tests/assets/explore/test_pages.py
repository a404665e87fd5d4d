"""Every page, and every link on it, over the hand-written project and over one that was really mined."""

import json
import re
from html import unescape
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from miner_assets.definitions import build_definitions
from miner_assets.instance import open_instance
from miner_assets.pipeline_run import PipelineRun
from miner_assets.workspace import Workspace
from miner_resources.config import MinerConfig
from miner_resources.storage import Storage
from tests.assets.explore.conftest import client_of
from tests.assets.explore.projects import write_project
from tests.assets.pipelines import dagster_home

PAGES = (
    "/",
    "/?show=all",
    "/?show=all&cls=car&boxes=no&order=doubtful",
    "/frame/first/0",
    "/frame/first/1?show=repeat",
    "/frame/first/3",
    "/frame/first/5",
    "/videos",
    "/videos?title=RIDE&keyword=cars",
    "/video/first",
    "/video/-broken",
    "/repeats",
    "/repeats?order=doubtful&kind=repeat_across_videos&video=second",
    "/repeats/first/0",
    "/repeats/first/3",
    "/charts",
    "/funnel",
    "/search",
)


def links(page: str) -> set[str]:
    found = re.findall(r'(?:href|src)="(/[^"#]*)', page)
    return {unescape(link) for link in found if not link.startswith(("/search?", "/media/"))}


@pytest.mark.parametrize("path", PAGES)
def test_every_page_renders_and_its_links_lead_somewhere(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    for link in links(answer.text):
        assert client.get(link).status_code == 200, link


@pytest.mark.parametrize(
    "path", ["/", "/?show=all", "/videos", "/video/x", "/repeats", "/charts", "/funnel", "/search"]
)
def test_an_empty_project_says_so(tmp_path: Path, path: str) -> None:
    answer = client_of(tmp_path / "nothing").get(path)
    assert answer.status_code == (404 if path == "/video/x" else 200)
    assert not (tmp_path / "nothing").exists()


def test_the_grid_shows_boxes_and_decisions(client: TestClient) -> None:
    page = client.get("/").text
    assert len(re.findall(r"<li class=\"card ", page)) == 2
    assert re.search(r'<rect class="box" x="16.0" y="9.0" width="32.0" height="18.0" stroke="#[0-9a-f]{6}"/>', page)
    assert 'class="weak"' in page, "a box below the threshold is there to be shown"
    rejected = client.get("/?show=rejected").text
    assert "/frame/first/3?show=rejected" in rejected


def test_the_next_frame_is_the_next_of_the_same_filter(client: TestClient) -> None:
    page = client.get("/frame/first/0?show=unique").text
    assert 'rel="next" href="/frame/first/2?show=unique"' in page
    assert "1 of 2" in page
    whole = client.get("/frame/first/3?show=unique").text
    assert 'rel="next" href="/frame/first/4?show=all&amp;video=first"' in whole, "not in the filter: of its video"


def test_a_frame_says_why_it_is_where_it_is(client: TestClient) -> None:
    assert "below the threshold" in client.get("/frame/first/3").text
    repeat = client.get("/frame/second/0").text
    assert "repeat of another video" in repeat
    assert "0.9300" in repeat
    assert "4 in this group" in repeat


def test_the_source_opens_at_the_second_of_the_frame(client: TestClient) -> None:
    page = client.get("/frame/first/5").text
    assert 'href="https://www.youtube.com/watch?v=first______&amp;t=0s"' in page
    assert 'rel="noopener noreferrer"' in page


def test_videos_are_found_by_title(client: TestClient) -> None:
    page = client.get("/videos?title=dogs+%26").text
    assert "/video/second" in page
    assert "/video/first" not in page


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/frame/first/9", 404),
        ("/frame/nobody/0", 404),
        ("/frame/first/x", 404),
        ("/video/nobody", 404),
        ("/repeats/first/9", 404),
        ("/search?like=first:x", 404),
        ("/?show=nonsense", 400),
        ("/?min=2", 400),
        ("/?page=x", 400),
        ("/repeats?order=x", 400),
        ("/nothing/here", 404),
    ],
)
def test_addresses_that_lead_nowhere_say_so(client: TestClient, path: str, status: int) -> None:
    answer = client.get(path)
    assert answer.status_code == status
    assert "<h2>" in answer.text


def test_pages_end_at_the_last_one(client: TestClient) -> None:
    assert client.get("/?show=all&page=999").text.count('<li class="card ') == 8


def test_changed_artifacts_are_seen(tmp_path: Path) -> None:
    storage = write_project(tmp_path / "project")
    client = client_of(storage.root)
    assert client.get("/frame/second/0").status_code == 200
    storage.discard(storage.raw_frames("second"))
    for _ in range(200):
        if client.get("/frame/second/0").status_code == 404:
            break
    else:
        pytest.fail("the page of a frame that is gone is still there")
    assert client.get("/thumb/second/0/320.jpg").status_code == 404
    assert client.get("/frame/first/0").status_code == 200


def test_a_mined_project_from_end_to_end(mined: tuple[MinerConfig, PipelineRun]) -> None:
    config, _ = mined
    images = json.loads(Storage(config.output_dir).annotations.read_text())["images"]
    client = client_of(config.output_dir)
    page = client.get("/").text
    assert page.count('<li class="card unique"') == min(60, len(images))
    for path in ("/", "/?show=all", "/repeats", "/charts", "/funnel", "/videos"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert all(client.get(link).status_code == 200 for link in sorted(links(answer.text))[:25])
    video = next(Storage(config.output_dir).raw_frames("x").parent.iterdir()).name
    assert client.get(f"/media/{video}", headers={"Range": "bytes=0-99"}).status_code == 206


def test_what_dagster_shows_leads_to_the_pages(mined: tuple[MinerConfig, PipelineRun]) -> None:
    config, _ = mined
    with dagster_home(config.output_dir), open_instance(Storage(config.output_dir)) as instance:
        keys = build_definitions(Workspace.open(config)).resolve_asset_graph().materializable_asset_keys
        latest = {key.to_user_string(): instance.get_latest_materialization_event(key) for key in keys}
    del latest["search_results"]
    client = client_of(config.output_dir, config=config)
    for asset, entry in latest.items():
        assert entry is not None, asset
        assert entry.asset_materialization is not None
        address = str(entry.asset_materialization.metadata["explore"].value)
        assert address.startswith("http://127.0.0.1:3001/")
        page = client.get(address)
        assert page.status_code == 200
        assert (entry.asset_materialization.partition or "") in page.text
