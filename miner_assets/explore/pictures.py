"""Pictures that stages have made for people, by their path: what previews in the Dagster UI point to."""

from pathlib import Path
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from miner_assets.explore.thumbnails import shrink
from miner_resources.errors import InvalidData
from miner_resources.storage import Storage

WIDTH_MAX: Final = 4096
"""Of pictures made smaller on request, by `?width=N`."""

MEDIA_TYPES: Final = {".jpg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}


class Previews:
    """Hands out contact sheets, visualizations and pictures of the dataset, and no other file."""

    def __init__(self, storage: Storage) -> None:
        self._root = storage.root
        self._shown = [storage.contact_sheets, storage.visualizations, storage.dataset]

    def picture(self, request: Request) -> Response:
        """The picture at the path, smaller if `width` says so."""
        path = self._known(request.path_params["path"])
        width = request.query_params.get("width", "")
        if width.isascii() and width.isdecimal() and 0 < int(width[:6]) <= WIDTH_MAX:
            try:
                return Response(shrink(path, int(width[:6])), media_type="image/jpeg")
            except InvalidData as error:
                raise HTTPException(404, error.message) from error
        return FileResponse(path, media_type=MEDIA_TYPES[path.suffix])

    def _known(self, name: str) -> Path:
        try:
            path = (self._root / name).resolve()
            inside = any(path.is_relative_to(folder.resolve()) for folder in self._shown)
            if path.suffix in MEDIA_TYPES and inside and path.is_file():
                return path
        except (OSError, ValueError):  # a name too long, or with a zero byte
            pass
        raise HTTPException(404, "There is no such page.")
