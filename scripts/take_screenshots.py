"""The pictures of docs/operate.md, taken of a real UI on a small project: `python -m scripts.take_screenshots`.

Needs a Chromium (`apt-get install chromium`); takes about two minutes.
"""

import io
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import yaml
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from miner_resources.demo.videos import write_demo_videos

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "images"
PROGRAM = Path(sys.executable).with_name("video-miner")
WIDTH = 1300


def main() -> None:
    """Mine a few videos, one of them broken, open the UI, and photograph it."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("no Chromium found: apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder:
        project = write_project(Path(folder))
        subprocess.run([PROGRAM, "run-config", project], check=False)  # ends with 1, because of the broken video
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            port = found.getsockname()[1]
        dev = subprocess.Popen([PROGRAM, "dev", project, "--port", str(port)])
        try:
            wait_for(f"http://127.0.0.1:{port}/server_info")
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
                page = browser.new_page(
                    viewport={"width": 1500, "height": 940}, base_url=f"http://127.0.0.1:{port}", color_scheme="light"
                )
                page.set_default_timeout(60_000)
                photograph(page, Path(folder) / "output")
                photograph_thresholds(page, Path(folder) / "output")
                browser.close()
        finally:
            dev.terminate()
            dev.wait()


def write_project(folder: Path) -> Path:
    """A configuration over four demo videos and a broken one."""
    videos = write_demo_videos(folder / "videos", seed=11, videos=4, targets=3).parent
    (videos / "truth.json").unlink()
    (videos / "broken.mp4").write_bytes(b"no video")
    settings = {
        "output_dir": str(folder / "output"),
        "urls": [str(videos)],
        "classes": ["red circle", "blue square", "green triangle", "yellow star"],
        "extraction": {"strategy": "time", "seconds": 0.5},
        "filter": {"model": "demo", "threshold": 0.5},
        "dedup": {"model": "demo", "threshold": 0.85},
        "detection": {"detector": "demo"},
    }
    path = folder / "project.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def wait_for(address: str) -> None:
    """Until the webserver answers."""
    for _ in range(120):
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except (urllib.error.URLError, OSError):
            time.sleep(1)
        else:
            return
    sys.exit(f"{address} does not answer")


def photograph(page: Page, output: Path) -> None:
    """All pictures of docs/operate.md."""
    page.goto("/assets/dataset?view=lineage&lineageScope=upstream&lineageDepth=10", wait_until="domcontentloaded")
    page.get_by_text("filtered_frames", exact=True).first.wait_for()
    shoot(page, "operate-graph")

    video = next(output.glob("contact_sheets/filter/*.jpg")).stem
    page.goto(f"/assets/filtered_frames?view=partitions&partition={video}", wait_until="domcontentloaded")
    page.locator("img[src*='contact_sheets']").first.scroll_into_view_if_needed()
    shoot(page, "operate-partition")

    page.goto("/assets/videos?view=partitions", wait_until="domcontentloaded")
    page.get_by_text("Failed (1)").wait_for()
    shoot(page, "operate-failed")

    page.goto("/runs?q=status%3AFAILURE", wait_until="domcontentloaded")
    page.locator("a[href*='/runs/']").first.wait_for()
    identity = page.evaluate(
        """async () => {
          const query = "{ runsOrError(filter: {statuses: [FAILURE]}) { ... on Runs { results { id } } } }";
          const answer = await fetch("/graphql", {method: "POST", headers: {"Content-Type": "application/json"},
                                                  body: JSON.stringify({query})});
          return (await answer.json()).data.runsOrError.results[0].id; }"""
    )
    page.goto(f"/runs/{identity}", wait_until="domcontentloaded")
    page.wait_for_timeout(8000)
    shoot(page, "operate-failure")

    page.goto("/assets/dataset?view=checks", wait_until="domcontentloaded")
    page.get_by_text("splits_do_not_leak").first.wait_for()
    shoot(page, "operate-checks")

    page.goto("/automation", wait_until="domcontentloaded")
    page.get_by_text("new_keywords").first.wait_for()
    shoot(page, "operate-sensors")


def photograph_thresholds(page: Page, output: Path) -> None:
    """The page of `video-miner thresholds` in two columns, without its tables and the frames around the filter's."""
    subprocess.run([PROGRAM, "thresholds", "--output", output], check=True, stdout=subprocess.DEVNULL)
    page.goto((output / "contact_sheets" / "thresholds.html").as_uri())
    page.set_viewport_size({"width": 1900, "height": 900})
    page.add_style_tag(
        content="""body { max-width: none; } main { columns: 2; } h2 { border: 0; margin: 1rem 0 0; }
                   .wide, nav, h1 ~ p, #filter, img[alt^='Frames'], h3:has(+ img[alt^='Frames']) { display: none; }
                   img { break-inside: avoid; } h3 { break-after: avoid; }"""
    )
    shoot(page, "operate-thresholds", whole=True)


def shoot(page: Page, name: str, *, whole: bool = False) -> None:
    """Save what the window shows, or the whole page, once it has settled."""
    page.wait_for_timeout(2500)
    with Image.open(io.BytesIO(page.screenshot(full_page=whole))) as shot:
        height = round(shot.height * WIDTH / shot.width)
        shot.convert("RGB").resize((WIDTH, height), Image.Resampling.LANCZOS).save(
            PICTURES / f"{name}.jpg", quality=72, optimize=True
        )


if __name__ == "__main__":
    main()
