"""The pictures of a project for the Dagster UI, which shows only pictures that have an address.

Runs beside `video-miner dev` on the loopback interface, reads, and ends with it: `python -m miner_assets.picture_server
FOLDER PORT` serves until its standard input is closed.
"""

import sys
import threading
from pathlib import Path
from typing import Final

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route

from miner_resources.storage import Storage

HOST: Final = "127.0.0.1"
_TYPES: Final = {".jpg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}
_HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'",
    "X-Content-Type-Options": "nosniff",
}


def build_app(storage: Storage) -> Starlette:
    """A web application that hands out the project's previews, and no other file."""
    shown = [storage.contact_sheets, storage.visualizations, storage.dataset]

    async def picture(request: Request) -> FileResponse:
        path = (storage.root / request.path_params["path"]).resolve()
        media_type = _TYPES.get(path.suffix)
        inside = any(path.is_relative_to(folder.resolve()) for folder in shown)
        if media_type is None or not inside or not path.is_file():
            raise HTTPException(404)
        return FileResponse(path, media_type=media_type, headers=_HEADERS)

    # Of these hosts only: else a web page elsewhere could give itself this address and read the pictures.
    hosts = Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])
    return Starlette(routes=[Route("/{path:path}", picture, methods=["GET"])], middleware=[hosts])


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
