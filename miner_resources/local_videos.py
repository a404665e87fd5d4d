"""Video files that are at hand and need not be fetched."""

from functools import cached_property
from pathlib import Path

from miner_resources.errors import NotFound
from miner_resources.video_source import VIDEO_SUFFIXES, content_hash, local_path


class LocalVideos:
    """A folder of video files, named by their video id, or, for what was a local file, by anything.

    Args:
        folder: None if there is none.

    Raises:
        NotFound: it is no folder.
    """

    def __init__(self, folder: Path | None) -> None:
        if folder is not None and not folder.is_dir():
            raise NotFound(f"{folder} is not a folder", remedy="name the folder with the video files")
        found = folder.rglob("*") if folder else ()
        self._files = sorted(path for path in found if path.suffix.lower() in VIDEO_SUFFIXES)
        self._by_name = {path.stem: path for path in self._files}

    def find(self, video_id: str, url: str) -> Path | None:
        """The file of a video, None if it must be fetched.

        Raises:
            NotFound: it was a local file, and no such file is here.
        """
        if found := self._by_name.get(video_id):
            return found
        source = local_path(url)
        if source is None:
            return None
        if source.is_file() and video_id == _file_id(source):
            return source
        if found := self._by_content.get(video_id):
            return found
        raise NotFound(f"{source} is gone or has changed", remedy="name the folder that it is in with --videos")

    @cached_property
    def _by_content(self) -> dict[str, Path]:
        return {_file_id(path): path for path in self._files}


def _file_id(path: Path) -> str:
    return f"file-{content_hash(path)[:12]}"
