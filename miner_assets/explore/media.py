"""Pictures of frames in any size, and the videos they are from: only files that the tables of a project name."""

from pathlib import Path
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from miner_assets.explore.pictures import MEDIA_TYPES
from miner_assets.explore.project import Project
from miner_assets.explore.thumbnails import WIDTHS, Thumbnails

PLAYABLE: Final = {".mp4": "video/mp4", ".webm": "video/webm", ".m4v": "video/mp4"}
FOREVER: Final = "private, max-age=31536000, immutable"
"""For pictures whose address changes with them (`?v=`)."""


class Media:
    """Hands out pictures of frames and videos."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._storage = project.workspace.storage
        self._thumbnails = Thumbnails()

    def thumbnail(self, request: Request) -> Response:
        """A small picture of a frame."""
        width = int(request.path_params["width"])
        if width not in WIDTHS:
            raise HTTPException(404, f"Thumbnails are {', '.join(map(str, WIDTHS))} pixels wide.")
        path = self._picture(request)
        return Response(self._thumbnails.get(path, width), media_type="image/jpeg", headers=_cached(request))

    def image(self, request: Request) -> Response:
        """The picture of a frame as it is stored."""
        path = self._picture(request)
        return FileResponse(path, media_type=MEDIA_TYPES[path.suffix], headers=_cached(request))

    def video(self, request: Request) -> Response:
        """A video of the project, for the player."""
        path = self.playable(request.path_params["video_id"])
        if path is None:
            raise HTTPException(404, "There is no such video in this project that a browser could play.")
        return FileResponse(path, media_type=PLAYABLE[path.suffix])

    def playable(self, video_id: str) -> Path | None:
        """The file of a video that browsers can play, None if it is not there or of another kind."""
        known = video_id in self._project.latest.index.videos
        path = self._storage.video(video_id) if known else None
        if path is None or path.suffix not in PLAYABLE:
            return None
        return path if path.resolve().is_relative_to(self._storage.root.resolve()) else None

    def _picture(self, request: Request) -> Path:
        """The file of a frame: the one its table names, if it lies in its video's folder."""
        index = self._project.latest.index
        row = index.row_of(request.path_params["video_id"], request.path_params["frame_index"])
        if row is None:
            raise HTTPException(404, "There is no such frame in this project.")
        folder = self._storage.raw_frames(index.frames["video_id"][row]).resolve()
        path = (self._storage.root / index.frames["path"][row]).resolve()
        if path.suffix not in MEDIA_TYPES or not path.is_relative_to(folder) or not path.is_file():
            raise HTTPException(404, "The picture of this frame is not there.")
        return path


def _cached(request: Request) -> dict[str, str]:
    return {"Cache-Control": FOREVER} if "v" in request.query_params else {}
