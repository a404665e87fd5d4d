"""From keywords to a dataset through a pretend YouTube: the whole pipeline, and what it does when YouTube says no."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from miner_assets.cli import app
from miner_assets.download_stage import count_try
from miner_assets.pipeline_run import PipelineRun
from miner_assets.takedown import remove_videos
from miner_assets.workspace import Workspace
from miner_resources.config import MinerConfig
from miner_resources.config_files import to_yaml
from miner_resources.errors import NotConfigured
from miner_resources.queue_report import queue_report
from miner_resources.records import Stage, StageRecord, Status, Video
from miner_resources.video_facts import read_facts
from miner_resources.web.trouble import POLICIES, Trouble
from tests.assets.pipelines import computed, dagster_home, demo_config, run
from tests.internet import CC, PretendInternet, PretendVideo


def unplayable(reason: str) -> dict[str, object]:
    """A player's answer without a video."""
    return {"playabilityStatus": {"status": "ERROR", "reason": reason}, "streamingData": {}}


NO_BOTS = unplayable("Sign in to confirm you’re not a bot")
FAST = ("pacing.youtube_per_hour=3600000", "pacing.other_per_hour=3600000", "pacing.request_interval=0")
URLS = "https://www.youtube.com/watch?v="


def config_for(youtube: PretendInternet, output: Path, *overrides: str, urls: tuple[str, ...] = ()) -> MinerConfig:
    proxy = f"download.proxy={json.dumps(youtube.url)}"
    return demo_config(output, urls, proxy, *FAST, "from_registry=pending", *overrides)


def searched(youtube: PretendInternet, output: Path, *overrides: str) -> MinerConfig:
    return config_for(youtube, output, "search.keywords=['cirque']", "search.max_results=4", *overrides)


def errors_of(done: PipelineRun) -> dict[str, str]:
    return {video_id: str(record.error).split(":")[0] for video_id, record in done.failures.items()}


def test_run_config_mines_a_dataset_from_a_keyword_and_a_second_run_does_no_work(
    youtube: PretendInternet, tmp_path: Path
) -> None:
    output = tmp_path / "output"
    classes = "[red circle, blue square, green triangle, yellow star]"
    file = tmp_path / "mine.yaml"
    file.write_text(
        f"output_dir: {output}\nclasses: {classes}\n"
        "search: {keywords: [cirque du soleil], max_results: 4}\n"
        f"download: {{proxy: '{youtube.url}'}}\n"
        "pacing: {youtube_per_hour: 3600000, request_interval: 0}\n"
        "extraction: {strategy: time, seconds: 0.5}\n"
        "filter: {model: demo, threshold: 0.5}\ndedup: {model: demo, threshold: 0.85}\ndetection: {detector: demo}\n"
    )
    with dagster_home(output):
        first = CliRunner().invoke(app, ["run-config", str(file)])
    assert first.exit_code == 0, first.output
    result = json.loads((output / "pipeline_result.json").read_text())
    assert result["videos"] == {"total": 4, "succeeded": 4, "failed": 0, "skipped": 0}
    assert result["annotations"] > 0
    coco = json.loads((output / "detections" / "annotations.json").read_text())
    assert all(re.match(r"https://www\.youtube\.com/watch\?v=[\w-]{11}", row["url"]) for row in coco["videos"])
    assert {row["channel"] for row in coco["videos"]} != {None}
    asked = len(youtube.seen)
    with dagster_home(output):
        second = CliRunner().invoke(app, ["run-config", str(file)])
    assert second.exit_code == 0, second.output
    assert "Nothing to do" in second.output
    assert len(youtube.seen) == asked


def test_what_a_run_searched_for_is_mined_without_the_rest_of_the_registry(
    youtube: PretendInternet, tmp_path: Path
) -> None:
    config = searched(youtube, tmp_path / "output", "from_registry=none", "stages=['search','download']")
    other = Video(video_id="not_asked__", url=URLS + "not_asked__", added_at=datetime.now(UTC))
    Workspace.open(config).catalog.add_videos([other])
    done = run(config)
    assert computed(done)["download"] == 4
    assert "not_asked__" not in done.video_ids


def test_search_results_tell_rank_keyword_time_and_reason(youtube: PretendInternet, tmp_path: Path) -> None:
    config = searched(
        youtube, tmp_path / "output", "stages=['search']", "search.max_duration_s=600", "search.max_results=25"
    )
    began = datetime.now(UTC)
    run(config)
    rows = Workspace.open(config).catalog.search_results(keyword="cirque")
    assert [row.rank for row in rows] == list(range(1, 26))
    assert all(row.searched_at >= began.replace(microsecond=0) for row in rows)
    taken = {row.video_id for row in rows if row.reason is None}
    assert {row.reason for row in rows} == {None, "too long", "live now"}
    assert {video.video_id for video in Workspace.open(config).catalog.videos(status=Status.PENDING)} == taken


def test_a_search_never_duplicates_and_never_brings_back_what_was_removed(
    youtube: PretendInternet, tmp_path: Path
) -> None:
    config = searched(youtube, tmp_path / "output", "stages=['search']", "search.force=true")
    run(config)
    workspace = Workspace.open(config)
    ids = [video.video_id for video in workspace.catalog.videos()]
    remove_videos(workspace, ids[:1])
    run(config)
    assert [video.video_id for video in workspace.catalog.videos()] == ids[1:]


def test_nobodys_block_makes_a_video_fail_and_the_queue_is_shown(youtube: PretendInternet, tmp_path: Path) -> None:
    output = tmp_path / "output"
    youtube.ordinary = PretendVideo(player=NO_BOTS)
    config = searched(youtube, output, "pacing.patience=0", "download.max_concurrent=1")
    done = run(config)
    workspace = Workspace.open(config)
    assert not done.failures
    assert len(done.waiting) == 4
    assert not done.ok
    assert {video.status for video in workspace.catalog.videos()} == {Status.PENDING}
    # Only the first one was asked for: the others were still in the line.
    assert youtube.asked("/watch") == 1
    (line,) = queue_report(workspace.catalog)
    assert re.match(r"youtube is cooling until \d\d:\d\d, 4 queued \(blocked: .*not a bot", line)
    shown = CliRunner().invoke(app, ["registry", "status", "--output", str(output)])
    assert "cooling until" in shown.output
    youtube.videos.clear()
    youtube.ordinary = PretendVideo()
    unknown = CliRunner().invoke(app, ["registry", "reopen", "nowhere.org", "--output", str(output)])
    assert unknown.exit_code == 1
    reopened = CliRunner().invoke(app, ["registry", "reopen", "youtube", "--output", str(output)])
    assert "youtube is open again" in reopened.output
    assert run(config).ok


def test_a_short_cool_down_is_waited_out_in_the_run(youtube: PretendInternet, tmp_path: Path) -> None:
    config = searched(youtube, tmp_path / "output", "pacing.cool_down=1", "stages=['search','download']")
    youtube.broken_paths["/youtubei/v1/search"] = 429

    class Recovers(dict):  # the second time the search works
        def __contains__(self, path: object) -> bool:
            found = super().__contains__(path)
            if found and youtube.asked("/youtubei/v1/search") > 2:
                self.clear()
                return False
            return found

    youtube.broken_paths = Recovers(youtube.broken_paths)
    done = run(config)
    assert done.ok
    assert computed(done)["download"] == 4


@pytest.mark.usefixtures("hasty")
def test_each_video_has_its_own_end(youtube: PretendInternet, tmp_path: Path) -> None:
    videos = {
        "gone": PretendVideo(player=unplayable("Private video")),
        "soon": PretendVideo(player=unplayable("Premieres in 3 hours")),
        "small": PretendVideo(file=youtube.files[0], heights=()),
        "page": PretendVideo(how="html"),
        "fine": PretendVideo(file=youtube.files[0]),
    }
    names = {name: name.ljust(11, "_") for name in videos}
    youtube.videos = {names[name]: video for name, video in videos.items()}
    config = config_for(youtube, tmp_path / "output", urls=tuple(URLS + name for name in names.values()))
    # A private video is registered all the same: its page exists, and the download says what is wrong.
    done = run(config)
    assert errors_of(done) == {names["gone"]: "gone", names["page"]: "CorruptMedia"}
    waiting = {record.video_id: str(record.error) for record in done.waiting}
    assert set(waiting) == {names["soon"], names["small"]}
    assert "upcoming" in waiting[names["soon"]]
    assert "no_format" in waiting[names["small"]]
    catalog = Workspace.open(config).catalog
    record = catalog.stage_records(stage=Stage.DOWNLOAD, ids=[names["soon"]])[0]
    assert datetime.fromisoformat(str(record.metrics["retry_at"])) > datetime.now(UTC)
    assert catalog.videos(ids=[names["fine"]])[0].status is Status.COMPLETE
    assert any(re.match(r"2 videos wait for another try, the first at \d", line) for line in queue_report(catalog))


def test_what_stays_degraded_fails_in_the_end(
    youtube: PretendInternet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = replace(POLICIES[Trouble.NO_FORMAT], wait_s=0.0)
    monkeypatch.setattr("miner_resources.web.trouble.POLICIES", {**POLICIES, Trouble.NO_FORMAT: at_once})
    youtube.videos["small______"] = PretendVideo(heights=())
    config = config_for(youtube, tmp_path / "output", "stages=['search','download']", urls=(URLS + "small______",))
    ends = [run(config) for _ in range(4)]
    assert [len(done.waiting) for done in ends] == [1, 1, 1, 0]
    assert errors_of(ends[-1]) == {"small______": "no_format"}


def test_our_own_setup_makes_no_video_fail(youtube: PretendInternet, tmp_path: Path) -> None:
    cookies = tmp_path / "cookies.txt"
    setting = f"download.cookies_file={json.dumps(str(cookies))}"
    config = config_for(youtube, tmp_path / "output", "stages=['search','download']", setting, urls=(URLS + "a" * 11,))
    with pytest.raises(NotConfigured, match="cannot be read"):
        run(config)
    cookies.write_text("# Netscape HTTP Cookie File\n")
    assert computed(run(config)) == {"search": 1, "download": 1} or computed(run(config)) == {}
    assert Workspace.open(config).catalog.videos()[0].status is Status.DOWNLOADED


def test_another_cookie_file_gives_failed_videos_another_chance(youtube: PretendInternet, tmp_path: Path) -> None:
    youtube.videos["grown_up___"] = PretendVideo(player=unplayable("Sign in to confirm your age"))
    stages = "stages=['search','download']"
    output = tmp_path / "output"
    assert errors_of(run(config_for(youtube, output, stages, urls=(URLS + "grown_up___",)))) == {"grown_up___": "age"}
    youtube.videos["grown_up___"] = PretendVideo(file=youtube.files[0])
    assert not run(config_for(youtube, output, stages)).video_ids
    cookies = tmp_path / "cookies.txt"
    cookies.write_text("# Netscape HTTP Cookie File\n")
    again = run(config_for(youtube, output, stages, f"download.cookies_file={json.dumps(str(cookies))}"))
    assert computed(again) == {"download": 1}


@pytest.mark.usefixtures("hasty")
def test_a_network_that_is_down_fails_nothing(youtube: PretendInternet, tmp_path: Path) -> None:
    stages = "stages=['search','download']"
    down = config_for(
        youtube, tmp_path / "output", stages, "download.proxy='http://127.0.0.1:9'", urls=(URLS + "b" * 11,)
    )
    for _ in range(3):
        done = run(down)
        assert not done.failures
        assert len(done.waiting) == 1
    # Tries before their time do not count.
    assert Workspace.open(down).catalog.stage_records(stage=Stage.DOWNLOAD)[0].metrics["tries"] == 1
    assert run(config_for(youtube, tmp_path / "output", stages)).ok


def test_tries_count_for_each_trouble_by_itself() -> None:
    def before(trouble: str, tries: int, hours: float) -> StageRecord:
        retry_at = datetime.now(UTC) + timedelta(hours=hours)
        metrics = {"trouble": trouble, "tries": tries, "retry_at": retry_at.isoformat()}
        now = datetime.now(UTC)
        return StageRecord(
            video_id="a", stage=Stage.DOWNLOAD, status="waiting", started_at=now, finished_at=now, metrics={**metrics}
        )

    assert count_try(None, "network") == 1
    assert count_try(before("upcoming", 8, -1), "network") == 1
    assert count_try(before("network", 2, -1), "network") == 3
    assert count_try(before("network", 2, 1), "network") == 2


def test_a_download_elsewhere_is_waited_for_no_longer_than_patience(youtube: PretendInternet, tmp_path: Path) -> None:
    config = config_for(
        youtube, tmp_path / "output", "stages=['search','download']", "pacing.patience=0.5", urls=(URLS + "c" * 11,)
    )
    storage = Workspace.open(config).storage
    with storage.downloading("c" * 11, timeout_s=0, wait=lambda: None):
        done = run(config)
    assert "another process has been downloading" in str(done.waiting[0].error)
    assert run(config).ok


def test_a_search_that_was_cut_short_goes_on_where_it_stopped(youtube: PretendInternet, tmp_path: Path) -> None:
    output, more = tmp_path / "output", ("stages=['search']", "search.license=cc", "pacing.patience=0")
    run(searched(youtube, output, "stages=['search']"))
    workspace = Workspace.open(searched(youtube, output))
    ids = [row.video_id for row in workspace.catalog.search_results(keyword="cirque")]
    remove_keyword_and_videos(workspace)
    youtube.videos = {name: PretendVideo(license=CC) for name in ids} | {ids[2]: PretendVideo(player=NO_BOTS)}
    done = run(searched(youtube, output, *more))
    assert [keyword for keyword, _ in done.searches_waiting] == ["cirque"]
    assert [video.video_id for video in workspace.catalog.videos()] == ids[:2]
    youtube.videos[ids[2]] = PretendVideo(license=CC)
    workspace.catalog.change_pool("youtube", lambda pool: (type(pool)(), None))
    asked = youtube.asked("/watch")
    assert not run(searched(youtube, output, *more)).searches_waiting
    assert youtube.asked("/watch") == asked + 2
    assert len(workspace.catalog.videos()) == 4


def remove_keyword_and_videos(workspace: Workspace) -> None:
    """Start over without tombstones."""
    workspace.catalog.remove_keyword("cirque")
    workspace.storage.registry.unlink()
    shutil.rmtree(workspace.storage.events)


def test_rights_skip_before_the_download_and_a_new_policy_looks_again(youtube: PretendInternet, tmp_path: Path) -> None:
    youtube.videos = {"free_______": PretendVideo(file=youtube.files[0], license=CC)}
    youtube.videos["closed_____"] = PretendVideo(file=youtube.files[1])
    urls = tuple(URLS + name for name in youtube.videos)
    stages = "stages=['search','download']"
    config = config_for(youtube, tmp_path / "output", "rights=cc", stages, urls=urls)
    done = run(config)
    assert done.ok
    assert set(done.left_out) == {"closed_____"}
    catalog = Workspace.open(config).catalog
    assert catalog.videos(ids=["closed_____"])[0].status is Status.SKIPPED
    again = run(config)
    assert not again.did_work
    assert set(again.left_out) == {"closed_____"}
    open_to_all = run(config_for(youtube, tmp_path / "output", "rights=any", stages))
    assert computed(open_to_all) == {"download": 1}
    assert catalog.videos(ids=["closed_____"])[0].status is Status.DOWNLOADED


def test_facts_of_the_source_are_kept(youtube: PretendInternet, tmp_path: Path) -> None:
    youtube.videos["free_______"] = PretendVideo(file=youtube.files[0], license=CC, permitted=("acme", "others"))
    stages = "stages=['search','download']"
    config = config_for(
        youtube, tmp_path / "output", stages, "download.trainability=true", urls=(URLS + "free_______",)
    )
    run(config)
    workspace = Workspace.open(config)
    facts = read_facts(workspace.storage, "free_______")
    assert facts is not None
    assert (facts.video.license, facts.video.trainable) == (CC, "acme,others")
    assert facts.source["client"] == "visionos"
    assert {"format_id", "formats_offered", "yt_dlp_version", "is_ai_upscaled"} <= set(facts.source)
    assert workspace.catalog.videos()[0].trainable == "acme,others"
    assert "signature" not in workspace.storage.info("free_______").read_text()


def test_no_more_downloads_at_a_time_than_wanted(youtube: PretendInternet, tmp_path: Path) -> None:
    names = [f"many_____{number:02d}" for number in range(6)]
    youtube.videos = {name: PretendVideo(file=youtube.files[0], how="pause") for name in names}
    stages = ("stages=['search','download']", "download.max_concurrent=2")
    assert run(config_for(youtube, tmp_path / "output", *stages, urls=tuple(URLS + name for name in names))).ok
    assert youtube.most_working == 2


@pytest.mark.slow
def test_two_processes_download_a_video_once(youtube: PretendInternet, tmp_path: Path) -> None:
    config = config_for(youtube, tmp_path / "output")
    youtube.videos["both_______"] = PretendVideo(file=youtube.files[0])
    video = Video(video_id="both_______", url=URLS + "both_______", added_at=datetime.now(UTC))
    Workspace.open(config).catalog.add_videos([video])
    file = tmp_path / "project.yaml"
    file.write_text(to_yaml(config_for(youtube, tmp_path / "output", "stages=['download']", "from_registry=all")))
    command = [Path(sys.executable).parent / "video-miner", "run-config", file]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(2)]
    ends = [process.communicate(timeout=200)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], "\n".join(ends)
    media = [seen.path for seen in youtube.seen if "googlevideo" in seen.host]
    assert len(media) == 1
    assert not (tmp_path / "output" / ".partial" / "both_______").exists()


def test_passwords_of_proxies_are_not_remembered(tmp_path: Path) -> None:
    config = demo_config(tmp_path, [], "download.proxy='http://user:planted@127.0.0.1:9'")
    assert "planted" not in config.remembered().model_dump_json()
    plain = demo_config(tmp_path, [], "download.proxy='http://127.0.0.1:9'")
    assert plain.remembered().download.proxy == "http://127.0.0.1:9"
