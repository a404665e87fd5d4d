"""Where artifacts lie and how they appear: the only module that builds paths.

An artifact is one file or one folder that appears by a single rename, so a reader never sees half of it and a killed
process leaves nothing behind but a temporary entry. `tables.py` writes the
Parquet ones. To add an artifact: give it a path method here and publish it with `publish_file` or `publish_folder`.
"""

import errno
import hashlib
import json
import os
import re
import shutil
import socket
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from miner_resources.clock import Clock
from miner_resources.errors import InvalidData
from miner_resources.locks import file_lock
from miner_resources.vocabulary import Json, Stage

_VIDEO_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_VERSION_ID = re.compile(r"[0-9a-f]{16}")


def stable_hash(*parts: Json) -> str:
    """16 hex digits that are equal for equal JSON values, on every machine and in every version of Python."""
    canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class ArtifactKeys:
    """What an artifact was made with.

    Attributes:
        compute: model, prompts, preprocessing and input. Equal: the rows can be reused.
        decision: thresholds and the choice of rows. Equal too: nothing is to be done.
    """

    compute: str
    decision: str

    @property
    def version(self) -> str:
        """The data version that Dagster shows: changes when either key does."""
        return stable_hash(self.compute, self.decision)


def check_video_id(video_id: str) -> str:
    """Return `video_id` if it is safe as a file name.

    Raises:
        InvalidData: it holds other characters than letters, digits, `_` and `-`, or more than 128 of them.
    """
    if not _VIDEO_ID.fullmatch(video_id):
        raise InvalidData(
            f"video id {video_id!r} may hold only letters, digits, '_' and '-'",
            remedy="import the video by its URL and let Video Miner choose the id",
        )
    return video_id


class Storage:
    """All paths under one `output_dir`."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.clock = Clock(self.events / "latest")

    @property
    def registry(self) -> Path:
        """The DuckDB catalog; it can be rebuilt from everything else."""
        return self.root / "registry.duckdb"

    @property
    def events(self) -> Path:
        """What stages have to say to the registry (see `events.py`)."""
        return self.root / "events"

    @property
    def dagster_home(self) -> Path:
        """Runs, events and partitions of Dagster unless `DAGSTER_HOME` says otherwise."""
        return self.root / ".dagster"

    def video(self, video_id: str) -> Path | None:
        """The downloaded video, None if it is not there."""
        folder = self.root / "videos"
        prefix = f"{check_video_id(video_id)}."
        if not (folder / f"{prefix}info.json").exists():
            return None
        candidates = (path for path in folder.glob(f"{prefix}*") if path.name != f"{prefix}info.json")
        return next(candidates, None)

    def new_video(self, video_id: str, extension: str) -> Path:
        """Where a video with that extension (no dot) goes."""
        return self.root / "videos" / f"{check_video_id(video_id)}.{extension}"

    def info(self, video_id: str) -> Path:
        """Facts about the video as JSON; written last, so its presence means that the download is complete."""
        return self.root / "videos" / f"{check_video_id(video_id)}.info.json"

    def partial(self, video_id: str) -> Path:
        """Folder of a download that is not complete; it stays after a failure, so that the next try goes on there."""
        return self.root / ".partial" / check_video_id(video_id)

    @contextmanager
    def downloading(self, video_id: str, *, timeout_s: float | None, wait: Callable[[], None]) -> Generator[None]:
        """Be the only one that downloads this video, in this process and in others.

        Args:
            video_id: the video.
            timeout_s: how long to wait for the others; None: as long as it takes.
            wait: lets a moment pass; may raise to give up.

        Raises:
            LockBusy: others took longer.
        """
        path = self.root / ".partial" / f"{check_video_id(video_id)}.lock"
        with file_lock(path, timeout_s=timeout_s, wait=wait):
            yield
            path.unlink(missing_ok=True)

    def claims(self, stage: Stage) -> Path:
        """File by which processes tell each other which videos of a stage they work on."""
        return self.root / ".claims" / stage.value

    def raw_frames(self, video_id: str) -> Path:
        """Folder of the sampled frames and `frames.parquet`."""
        return self.root / "frames_raw" / check_video_id(video_id)

    def frames_table(self, video_id: str) -> Path:
        """Table of the sampled frames."""
        return self.raw_frames(video_id) / "frames.parquet"

    def filtered_frames(self, video_id: str) -> Path:
        """Folder of hard links to the frames that passed the filter and `scores.parquet`."""
        return self.root / "frames_filtered" / check_video_id(video_id)

    def scores_table(self, video_id: str) -> Path:
        """Table of class scores of all sampled frames."""
        return self.filtered_frames(video_id) / "scores.parquet"

    def scores_tables(self) -> list[Path]:
        """Tables of class scores of all videos."""
        return sorted((self.root / "frames_filtered").glob("*/scores.parquet"))

    def features_table(self, video_id: str) -> Path:
        """Table of the filter's image features of all sampled frames."""
        return self.filtered_frames(video_id) / "features.parquet"

    def features_tables(self) -> list[Path]:
        """Tables of image features of all videos."""
        return sorted((self.root / "frames_filtered").glob("*/features.parquet"))

    def embeddings_table(self, video_id: str) -> Path:
        """Table of embeddings of the frames that passed the filter."""
        return self.root / "embeddings" / f"{check_video_id(video_id)}.parquet"

    def embeddings_tables(self) -> list[Path]:
        """Tables of embeddings of all videos."""
        return sorted((self.root / "embeddings").glob("*.parquet"))

    def detections_table(self, video_id: str) -> Path:
        """Table of boxes on the frames that are unique within their video."""
        return self.root / "detections" / f"{check_video_id(video_id)}.parquet"

    @property
    def unique_table(self) -> Path:
        """Table of the decisions across videos."""
        return self.root / "dedup" / "unique_frames.parquet"

    @property
    def dedup_store(self) -> Path:
        """Folder of what makes `unique_frames` fast; it can be made again from the embeddings."""
        return self.root / "dedup" / "store"

    @property
    def dedup_contents(self) -> Path:
        """Table of contents of the vectors in `dedup_store`."""
        return self.dedup_store / "contents.parquet"

    @property
    def dedup_lock(self) -> Path:
        """Held by who decides across videos."""
        return self.root / "dedup" / "lock"

    @property
    def linked_version(self) -> Path:
        """Text: the version of `unique_table` that `deduplicated_frames` shows; missing while the folder changes."""
        return self.root / "dedup" / "linked_version"

    @property
    def deduplicated_frames(self) -> Path:
        """Folder of hard links to the frames that are unique across videos."""
        return self.root / "frames_deduplicated"

    def deduplicated_name(self, video_id: str, frame_index: int, extension: str) -> str:
        """File name of one frame in `deduplicated_frames`."""
        return f"{check_video_id(video_id)}__frame_{frame_index:06d}.{extension}"

    @property
    def annotations(self) -> Path:
        """The COCO file over the unique frames."""
        return self.root / "detections" / "annotations.json"

    @property
    def visualizations(self) -> Path:
        """Folder of pictures with their boxes drawn."""
        return self.root / "detections" / "visualizations"

    @property
    def dataset(self) -> Path:
        """Splits, exports and the record of what the dataset was made of."""
        return self.root / "dataset"

    @property
    def export_folder(self) -> Path:
        """Folder of the dataset in other formats."""
        return self.dataset / "exports"

    def export(self, name: str) -> Path:
        """Folder of the dataset in another format."""
        return self.export_folder / name

    @property
    def export_log(self) -> Path:
        """Where `dataset export` wrote to, one JSON object a line."""
        return self.dataset / "exported.jsonl"

    @property
    def versions(self) -> Path:
        """Folder of the versions of the dataset."""
        return self.dataset / "versions"

    def version(self, version_id: str) -> Path:
        """Folder of one version of the dataset.

        Raises:
            InvalidData: the id is none.
        """
        if not _VERSION_ID.fullmatch(version_id):
            raise InvalidData(
                f"{version_id!r} is no version of a dataset", remedy="see `video-miner dataset list` for their ids"
            )
        return self.versions / version_id

    @property
    def contact_sheets(self) -> Path:
        """Pictures for people: what each stage kept and dropped."""
        return self.root / "contact_sheets"

    def contact_sheet(self, stage: Stage, video_id: str) -> Path:
        """The picture of what a stage kept and dropped of one video."""
        return self.contact_sheets / stage.value / f"{check_video_id(video_id)}.jpg"

    @property
    def removals(self) -> Path:
        """Log of takedowns, one JSON object a line."""
        return self.root / "removals.jsonl"

    @property
    def pending_removals(self) -> Path:
        """What a takedown that was interrupted still has to do."""
        return self.root / "removals.pending.json"

    @property
    def model_revisions(self) -> Path:
        """JSON: which commit of each hub repository this project uses."""
        return self.root / "model_revisions.json"

    @property
    def result(self) -> Path:
        """Summary of the last `run-config`."""
        return self.root / "pipeline_result.json"

    def relative(self, path: Path) -> str:
        """`path` as it is written into tables: relative to the output folder, with forward slashes."""
        return path.absolute().relative_to(self.root).as_posix()

    @contextmanager
    def publish_file(self, target: Path) -> Generator[Path]:
        """Yield a temporary path; when the block ends without an error it becomes `target` by one rename."""
        temporary = self._temporary(target)
        try:
            yield temporary
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)

    @contextmanager
    def publish_folder(self, target: Path) -> Generator[Path]:
        """Yield a temporary folder; when the block ends without an error it becomes `target` by one rename.

        An older `target` is moved out of the way just before, because a rename cannot replace a folder that has files.
        """
        temporary = self._temporary(target)
        temporary.mkdir()
        try:
            yield temporary
            target.parent.mkdir(parents=True, exist_ok=True)
            self.discard(target)
            temporary.rename(target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    @contextmanager
    def scratch(self, name: str) -> Generator[Path]:
        """Yield an empty folder on the same volume, removed afterwards."""
        temporary = self._temporary(Path(name))
        temporary.mkdir()
        try:
            yield temporary
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def discard(self, target: Path) -> None:
        """Remove a file or folder at once for every reader, if it exists."""
        doomed = self._temporary(target)
        try:
            target.rename(doomed)
        except FileNotFoundError:
            return
        if doomed.is_dir():
            shutil.rmtree(doomed)
        else:
            doomed.unlink()

    def clean_temporary(self) -> None:
        """Remove what killed processes of this machine left behind."""
        host = _host()
        for entry in self._temporary_folder.glob("*"):
            owner, _, pid = entry.name.split("~")[0].rpartition("-")
            if owner == host and pid.isdigit() and not _is_alive(int(pid)):
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink(missing_ok=True)

    @property
    def _temporary_folder(self) -> Path:
        return self.root / ".tmp"

    def _temporary(self, target: Path) -> Path:
        self._temporary_folder.mkdir(parents=True, exist_ok=True)
        return self._temporary_folder / f"{_host()}-{os.getpid()}~{uuid.uuid4().hex[:8]}~{target.name}"


def link(source: Path, target: Path) -> None:
    """Give `source` a second name; copies where the filesystem has no hard links."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.EOPNOTSUPP):
            raise
        shutil.copy2(source, target)


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9]", "", socket.gethostname()) or "host"


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
