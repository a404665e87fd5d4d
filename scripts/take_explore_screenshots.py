"""The pictures of docs/explore.md, taken of real pages: `python -m scripts.take_explore_screenshots`.

Needs a Chromium (`apt-get install chromium`); takes about a minute. The searches in the funnel are made up.
"""

import io
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import yaml
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from miner_resources.catalog import Catalog
from miner_resources.demo.videos import write_demo_videos
from miner_resources.registry.records import SearchResult
from miner_resources.storage import Storage

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "images"
PROGRAM = Path(sys.executable).with_name("video-miner")
LAPTOP = (1360, 850)
PHONE = (390, 844)
QUALITY = 78
KEYWORDS = ("paper stars", "geometric shapes", "moving triangles")


def main() -> None:
    """Mine a few videos, open the pages, and photograph them."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("no Chromium found: apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder:
        project = mine(Path(folder))
        command = [PROGRAM, "explore", project, "--no-open", "--port", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as served, sync_playwright() as playwright:
            try:
                assert served.stdout is not None
                address = served.stdout.readline().rsplit(" ", 1)[1].strip()
                browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
                photograph(browser, address)
                browser.close()
            finally:
                served.terminate()


def mine(folder: Path) -> Path:
    """A project of eight demo videos and a broken one, which two searches might have found."""
    videos = write_demo_videos(folder / "videos", seed=5, videos=8, targets=4).parent
    (videos / "truth.json").unlink()
    (videos / "broken.mp4").write_bytes(b"no video")
    settings = {
        "output_dir": str(folder / "shapes"),
        "urls": [str(videos)],
        "classes": ["red circle", "blue square", "green triangle", "yellow star"],
        "extraction": {"strategy": "time", "seconds": 0.5},
        "filter": {"model": "demo", "threshold": 0.5},
        "dedup": {"model": "demo", "threshold": 0.85},
        "detection": {"detector": "demo"},
        "from_registry": "none",
    }
    file = folder / "project.yaml"
    file.write_text(yaml.safe_dump(settings))
    subprocess.run([PROGRAM, "run-config", file], check=False)  # ends with 1, because of the broken video
    pretend_searches(Catalog(Storage(folder / "shapes")))
    return file


def pretend_searches(catalog: Catalog) -> None:
    """Say that searches found the videos."""
    found = [replace(video, source_keyword=KEYWORDS[n % 3]) for n, video in enumerate(catalog.videos())]
    catalog.add_videos(found)
    catalog.add_keywords(KEYWORDS)
    now = datetime.now(UTC)
    for keyword in KEYWORDS:
        ids = [(video.video_id, None) for video in found if video.source_keyword == keyword]
        ids += [(f"{keyword.replace(' ', '-')}-{number}", "too long") for number in range(len(keyword) % 4 + 1)]
        rows = [
            SearchResult(
                keyword=keyword, video_id=name, rank=rank, url="https://e.example", searched_at=now, reason=why
            )
            for rank, (name, why) in enumerate(ids, 1)
        ]
        catalog.add_search_results(keyword, rows)


def photograph(browser: Browser, address: str) -> None:
    """All pictures of docs/explore.md."""
    light, dark = (open_page(browser, address, LAPTOP, scheme) for scheme in ("light", "dark"))
    light.goto("/")
    shoot([light], "explore-frames")
    frame = busiest(light)
    dark.goto(f"{frame}?show=unique")
    shoot([dark], "explore-frame")
    light.goto("/repeats?kind=repeat_across_videos")
    shoot([light], "explore-repeats")
    light.goto("/video/" + frame.split("/")[2])
    light.wait_for_timeout(2500)  # the player shows its first picture
    shoot([light], "explore-video")
    dark.goto("/charts")
    shoot([dark], "explore-charts")
    light.goto("/funnel")
    shoot([light], "explore-funnel", height=430)
    phones = [open_page(browser, address, PHONE, scheme) for scheme in ("light", "dark", "light")]
    for page, path in zip(phones, ("/", f"{frame}?show=unique", "/charts"), strict=True):
        page.goto(path)
    shoot(phones, "explore-phone")
    dark.goto("/search?q=yellow+star")
    dark.locator(".card").first.wait_for()
    shoot([dark], "explore-search")


def open_page(browser: Browser, address: str, size: tuple[int, int], scheme: str) -> Page:
    """A window of that size."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if scheme == "dark" else "light",
        base_url=address,
    )
    page = context.new_page()
    page.set_default_timeout(120_000)
    return page


def busiest(page: Page) -> str:
    """The address of the frame with most boxes."""
    page.goto("/?show=unique&order=boxes")
    return (page.locator("[data-item]").first.get_attribute("href") or "").split("?")[0]


def shoot(pages: list[Page], name: str, height: int | None = None) -> None:
    """Save what windows show, side by side, once their pictures are there."""
    shots: list[Image.Image] = []
    for page in pages:
        page.wait_for_load_state("networkidle")
        page.wait_for_timeout(300)
        with Image.open(io.BytesIO(page.screenshot())) as shot:
            shots.append(shot.convert("RGB").crop((0, 0, shot.width, min(shot.height, height or shot.height))))
    gap = 24
    sheet = Image.new("RGB", (sum(s.width + gap for s in shots) - gap, shots[0].height), (128, 128, 128))
    left = 0
    for shot in shots:
        sheet.paste(shot, (left, 0))
        left += shot.width + gap
    sheet.save(PICTURES / f"{name}.jpg", quality=QUALITY, optimize=True, progressive=True)


if __name__ == "__main__":
    main()
