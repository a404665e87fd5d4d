"""The pictures of a project for the Dagster UI, which shows only pictures that have an address.

Runs beside `video-miner dev` on the loopback interface, reads, and ends with it: `python -m miner_assets.picture_server
FOLDER PORT` serves until its standard input is closed.
"""

import sys
import threading
from pathlib import Path
from typing import Final

import numpy as np
import uvicorn
from PIL import Image
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from miner_resources.errors import InvalidData
from miner_resources.images import encode_image, read_image
from miner_resources.storage import Storage

HOST: Final = "127.0.0.1"
WIDTH_MAX: Final = 4096
"""Of pictures made smaller on request, by `?width=N`."""

_TYPES: Final = {".jpg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}
_HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'",
    "X-Content-Type-Options": "nosniff",
}


def build_app(storage: Storage) -> Starlette:
    """A web application that hands out the project's previews, and no other file."""
    shown = [storage.contact_sheets, storage.visualizations, storage.dataset]

    async def picture(request: Request) -> Response:
        path = (storage.root / request.path_params["path"]).resolve()
        media_type = _TYPES.get(path.suffix)
        inside = any(path.is_relative_to(folder.resolve()) for folder in shown)
        if media_type is None or not inside or not path.is_file():
            raise HTTPException(404)
        width = request.query_params.get("width", "")
        if width.isdecimal() and 0 < int(width) <= WIDTH_MAX:
            try:
                small = await run_in_threadpool(_narrowed, path, int(width))
            except InvalidData as error:
                raise HTTPException(404, error.message) from error
            return Response(small, media_type="image/jpeg", headers=_HEADERS)
        return FileResponse(path, media_type=media_type, headers=_HEADERS)

    # Of these hosts only: else a web page elsewhere could give itself this address and read the pictures.
    hosts = Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])
    return Starlette(routes=[Route("/{path:path}", picture, methods=["GET"])], middleware=[hosts])


def _narrowed(path: Path, width: int) -> bytes:
    rgb = read_image(path)
    height = max(1, round(rgb.shape[0] * width / rgb.shape[1]))
    small = Image.fromarray(rgb).resize((width, height), Image.Resampling.LANCZOS) if rgb.shape[1] > width else rgb
    return encode_image(np.asarray(small), "jpg", 85)


def main() -> None:
    """Serve until standard input ends, as it does when the process that started this one is gone."""
    storage, port = Storage(Path(sys.argv[1])), int(sys.argv[2])
    config = uvicorn.Config(build_app(storage), host=HOST, port=port, log_level="warning", access_log=False)
    server = uvicorn.Server(config)

    def wait() -> None:
        sys.stdin.buffer.read()
        server.should_exit = True

    threading.Thread(target=wait, daemon=True).start()
    server.run()


if __name__ == "__main__":
    main()
