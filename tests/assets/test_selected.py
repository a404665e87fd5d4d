"""The job `mine_selected`: any subset in one run."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from miner_assets.graph import build_definitions
from miner_assets.instance import open_instance
from miner_assets.search import register_inputs
from miner_assets.workspace import Workspace
from miner_resources.gpu_models import SLOT
from tests.assets.pipelines import dagster_home, demo_config
from tests.video_factory import write_video

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class Selected:
    """A project of small videos, every third one of them broken at first."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder = folder
        (folder / "videos").mkdir()
        for number in range(count):
            write_video(self.path(number), frames=12 + number)
        config = demo_config(folder / "output", [folder / "videos"])
        self.workspace = Workspace.open(config)
        registered = register_inputs(self.workspace)
        by_url = {video.url: video.video_id for video in self.workspace.catalog.videos(ids=registered.video_ids)}
        self.ids = [by_url[str(self.path(number))] for number in range(count)]

    def path(self, number: int) -> Path:
        return self.folder / "videos" / f"{number}.mp4"

    def run(self, *, raises: bool = True, **selection: Any) -> tuple[dg.ExecuteInProcessResult, set[str]]:
        with dagster_home(self.workspace.storage.root), open_instance(self.workspace.storage) as instance:
            instance.add_dynamic_partitions("videos", self.ids)
            job = build_definitions(self.workspace).resolve_job_def("mine_selected")
            config = {"ops": {"mine_videos_of_a_list": {"config": selection}}, **QUIET}
            result = job.execute_in_process(instance=instance, run_config=config, raise_on_error=raises)
            return result, set(instance.get_materialized_partitions(dg.AssetKey("detections")))


def test_videos_that_are_no_neighbours_share_a_run_and_its_models(tmp_path: Path) -> None:
    project = Selected(tmp_path, 7)
    wanted = project.ids[::3]
    before = SLOT.loads
    result, made = project.run(videos=wanted)
    assert result.success
    assert made == set(wanted)
    assert SLOT.loads - before == 3, "one load for each of filter, embedder and detector"
    statuses = {video.video_id: video.status.value for video in project.workspace.catalog.videos()}
    assert {key for key, status in statuses.items() if status == "detected"} == set(wanted)


def test_without_a_list_it_takes_what_failed(tmp_path: Path) -> None:
    project = Selected(tmp_path, 3)
    whole = project.path(1).read_bytes()
    project.path(1).unlink()
    result, made = project.run(raises=False, videos=project.ids)
    assert not result.success
    assert made == {project.ids[0], project.ids[2]}
    project.path(1).write_bytes(whole)
    result, made = project.run()
    assert result.success
    assert made == set(project.ids)


def test_only_the_named_stages_run(tmp_path: Path) -> None:
    project = Selected(tmp_path, 1)
    result, made = project.run(videos=project.ids, stages=["extract", "download"])
    assert result.success
    assert not made
    assert project.workspace.storage.frames_table(project.ids[0]).exists()


@pytest.mark.parametrize(
    ("selection", "words"),
    [({"videos": ["nobody"]}, ["nobody", "registry import"]), ({"stages": ["paint"]}, ["paint", "download, extract"])],
)
def test_what_there_is_not_is_named(tmp_path: Path, selection: dict[str, list[str]], words: list[str]) -> None:
    project = Selected(tmp_path, 1)
    with pytest.raises(Exception, match=words[0]) as caught:
        project.run(**selection)
    assert all(word in str(caught.value) for word in words)
