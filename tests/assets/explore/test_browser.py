"""The pages as people use them, in a real browser: pixels, keys, the back button, a phone, accessibility basics."""

import io
import shutil
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, sync_playwright

from miner_assets.pipeline_run import PipelineRun
from miner_resources.config import MinerConfig
from miner_resources.config_files import to_yaml
from miner_resources.palette import class_colors
from tests.assets.dagster_dev import free_port

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = ("--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run", "--no-sandbox")
PAGES = ("/", "/?show=all", "/videos", "/repeats", "/charts", "/funnel", "/search")

BASICS = """() => {
  const named = (each) => (each.getAttribute('aria-label') || each.title || each.textContent || '').trim()
    || [...each.querySelectorAll('img')].some((img) => img.alt) || (each.labels && each.labels.length)
    || each.getAttribute('aria-labelledby');
  const ids = [...document.querySelectorAll('[id]')].map((each) => each.id);
  const levels = [...document.querySelectorAll('h1, h2, h3')].map((each) => Number(each.tagName[1]));
  const faults = [];
  if (!document.documentElement.lang) faults.push('no language');
  if (!document.title) faults.push('no title');
  if (document.querySelectorAll('main').length !== 1) faults.push('not one main');
  if (document.querySelectorAll('h1').length !== 1) faults.push('not one h1');
  if (new Set(ids).size !== ids.length) faults.push('an id is there twice');
  if (levels.some((level, place) => place && level > levels[place - 1] + 1)) faults.push('a heading is left out');
  for (const each of document.querySelectorAll('a[href], button, input:not([type=hidden]), select, dialog, svg[role]'))
    if (!named(each)) faults.push('no name: ' + each.outerHTML.slice(0, 80));
  for (const each of document.querySelectorAll('img')) if (!each.hasAttribute('alt')) faults.push('img without alt');
  for (const each of document.querySelectorAll('ul > :not(li)')) faults.push('ul > ' + each.tagName);
  return faults;
}"""
# Luminance and contrast as WCAG 2 defines them; backgrounds may lie on each other.
CONTRAST = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
  const rgba = (color) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
                            return canvas.getImageData(0, 0, 1, 1).data; };
  const part = (value) => value <= 10.3 ? value / 3294.6 : ((value / 255 + 0.055) / 1.055) ** 2.4;
  const light = (c) => 0.2126 * part(c[0]) + 0.7152 * part(c[1]) + 0.0722 * part(c[2]);
  const faults = [];
  for (const each of document.querySelectorAll('main *, header *')) {
    const text = [...each.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    const style = getComputedStyle(each);
    if (!text || each.closest('svg, .hidden, [hidden], option, .off') || style.visibility === 'hidden') continue;
    let under = each;
    while (under && rgba(getComputedStyle(under).backgroundColor)[3] < 200) under = under.parentElement;
    const [a, b] = [light(rgba(style.color)), light(rgba(getComputedStyle(under || document.body).backgroundColor))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) faults.push(each.className + ' ' + each.textContent.trim().slice(0, 30) + ' ' + ratio.toFixed(2));
  }
  return [...new Set(faults)];
}"""


@pytest.fixture(scope="module")
def address(mined: tuple[MinerConfig, PipelineRun], tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    file = tmp_path_factory.mktemp("explore") / "project.yaml"
    file.write_text(to_yaml(mined[0]))
    program = Path(sys.executable).with_name("video-miner")
    port = free_port()
    command = [str(program), "explore", str(file), "--no-open", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert str(port) in process.stdout.readline()
        yield f"http://127.0.0.1:{port}"
        process.terminate()


@pytest.fixture(scope="module")
def browser() -> Generator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield opened
        opened.close()


@pytest.fixture(params=["light"])
def page(browser: Browser, address: str, request: pytest.FixtureRequest) -> Generator[Page]:
    """A page whose scripts and answers make no errors."""
    context = browser.new_context(viewport={"width": 1300, "height": 900}, color_scheme=request.param, base_url=address)
    opened = context.new_page()
    opened.set_default_timeout(60_000)
    faults: list[str] = []
    opened.on("console", lambda said: faults.append(said.text) if said.type in ("error", "warning") else None)
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("response", lambda answer: faults.append(answer.url) if answer.status >= 400 else None)
    yield opened
    context.close()
    assert not faults


def pixels(shown: Locator) -> npt.NDArray[np.int64]:
    with Image.open(io.BytesIO(shown.screenshot())) as shot:
        return np.asarray(shot.convert("RGB")).astype(np.int64)


def near(rgb: npt.NDArray[np.int64], color: tuple[int, int, int]) -> int:
    return int((np.abs(rgb - np.array(color)).max(axis=2) < 30).sum())


def loaded(page: Page, picture: Locator) -> None:
    page.wait_for_function("img => img.complete && img.naturalWidth > 0", arg=picture.element_handle())


@pytest.mark.slow
@pytest.mark.parametrize("page", ["light", "dark"], indirect=True)
def test_pages_render_and_are_accessible(page: Page, request: pytest.FixtureRequest) -> None:
    for path in (*PAGES, None):
        if path is None:
            page.goto("/")
            page.locator("[data-item]").first.click()
            page.wait_for_url("**/frame/**")
        else:
            page.goto(path)
        assert page.evaluate(BASICS) == [], path
        assert page.evaluate(CONTRAST) == [], path
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
    dark = pixels(page.locator("body")).mean() < 110
    assert dark == ("dark" in request.node.name)


@pytest.mark.slow
def test_thumbnails_and_boxes_are_there_to_be_seen(page: Page, mined: tuple[MinerConfig, PipelineRun]) -> None:
    colors = class_colors(mined[0].classes)
    page.goto("/?boxes=yes")
    card = page.locator(".card").first
    loaded(page, card.locator("img"))
    name = card.locator(".chip").first.inner_text().split(" ×")[0]
    with_boxes = pixels(card.locator(".shot"))
    assert with_boxes.std() > 5, "a picture, not a plain surface"
    page.keyboard.press("b")
    without = pixels(card.locator(".shot"))
    assert near(with_boxes, colors[name]) > near(without, colors[name]) + 60
    page.reload()
    assert not card.locator(".boxes").is_visible(), "remembered"
    page.keyboard.press("b")
    card.click()
    page.wait_for_url("**/frame/**")
    loaded(page, page.locator(".stage img"))
    assert near(pixels(page.locator(".stage")), colors[name]) > 300
    assert name in page.locator(".stage .tag").first.text_content() or ""


@pytest.mark.slow
def test_keys_lead_through_a_project(page: Page) -> None:
    page.goto("/")
    page.keyboard.press("j")
    page.keyboard.press("j")
    second = page.locator("[data-item]").nth(1)
    assert second.evaluate("item => item === document.activeElement")
    page.keyboard.press("Enter")
    page.wait_for_url("**/frame/**")
    assert "2 of" in page.locator(".where").inner_text()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.querySelector('.where').innerText.startsWith('3 of')")
    page.keyboard.press("k")
    page.wait_for_function("document.querySelector('.where').innerText.startsWith('2 of')")
    page.keyboard.press("?")
    assert page.locator("dialog").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("dialog").is_visible()
    assert "/frame/" in page.url
    page.keyboard.press("Escape")
    page.wait_for_url("**/?show=unique")
    page.keyboard.press("/")
    assert page.locator("#q").evaluate("field => field === document.activeElement")


@pytest.mark.slow
def test_filters_are_in_the_address_and_the_back_button_works(page: Page) -> None:
    page.goto("/?show=all")
    page.get_by_label("Class").select_option("red circle")
    page.wait_for_url("**cls=red*")
    some = page.locator(".found b").inner_text()
    page.locator(".tabs a", has_text="rejected").click()
    page.wait_for_url("**show=rejected**")
    page.go_back()
    page.wait_for_url("**show=all**")
    assert page.locator(".found b").inner_text() == some
    assert page.get_by_label("Class").input_value() == "red circle"
    page.go_back()
    page.wait_for_url(lambda url: "cls" not in url)
    assert page.locator(".found b").inner_text() != some


@pytest.mark.slow
def test_the_timeline_leads_to_frames_and_near_duplicates(page: Page) -> None:
    page.goto("/videos")
    page.locator("[data-item]").first.click()
    page.wait_for_url("**/video/**")
    page.locator(".timeline a").nth(2).click()
    page.wait_for_url("**/frame/**")
    assert "3 of" in page.locator(".where").inner_text()
    page.goto("/repeats?order=doubtful")
    page.locator(".group .all").first.click()
    page.wait_for_url("**/repeats/*/*")
    assert page.locator(".card").count() > 1


@pytest.mark.slow
def test_frames_are_found_by_text_and_by_frame(page: Page) -> None:
    page.goto("/")
    page.keyboard.press("/")
    page.keyboard.type("red circle")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search?q=red+circle")
    page.locator(".card").first.wait_for()  # the page goes on by itself once the model is there
    assert page.locator(".card .chip", has_text="red circle").count() > 10
    page.locator("[data-item]").first.click()
    page.get_by_role("link", name="Frames like this").click()
    page.wait_for_url("**/search?like=**")
    page.locator(".grid .card").first.wait_for()
    page.go_back()
    page.go_back()
    page.wait_for_url("**/search?q=red+circle")
    assert page.locator("#q").input_value() == "red circle"


@pytest.mark.slow
def test_a_theme_is_chosen_and_remembered(page: Page) -> None:
    page.goto("/charts")
    bright = pixels(page.locator("body")).mean()
    page.locator("[data-do=theme]").click()
    page.locator("[data-do=theme]").click()
    assert pixels(page.locator("body")).mean() < bright / 2
    page.goto("/funnel")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


@pytest.mark.slow
def test_a_phone_shows_all_of_it(browser: Browser, address: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, base_url=address, has_touch=True)
    page = context.new_page()
    for path in PAGES:
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
    page.goto("/")
    assert not page.locator(".filters select").first.is_visible()
    page.locator(".filters summary").click()
    assert page.locator(".filters select").first.is_visible()
    context.close()


@pytest.mark.slow
def test_without_scripts_it_works_too(browser: Browser, address: str) -> None:
    context = browser.new_context(java_script_enabled=False, base_url=address)
    page = context.new_page()
    page.goto("/?show=all")
    page.get_by_label("Class").select_option("blue square")
    page.get_by_role("button", name="Apply").click()
    assert "cls=blue+square" in page.url
    page.locator("[data-item]").first.click()
    assert "/frame/" in page.url
    context.close()
