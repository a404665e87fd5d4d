"""`video-miner explore`: read-only web pages over a project, and the pictures that the Dagster UI shows.

One file per idea: `reading.py` (artifacts → tables) → `index.py` (one table of all frames) → `queries.py`, `charts.py`
→ `pages.py` + `templates/`. To add a page: a method in `pages.py`, a template, a route here, a line in `base.html`.
"""

from importlib.resources import files

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from miner_assets.explore.media import Media
from miner_assets.explore.pages import Pages
from miner_assets.explore.pictures import Previews
from miner_assets.explore.project import Project
from miner_assets.explore.security import LOOPBACK, Guard
from miner_resources.errors import MinerError


def build_app(project: Project, *, token: str | None = None) -> Starlette:
    """The web application of a project.

    Args:
        project: what to show.
        token: what visitors must know; None for visitors on this machine, who must call it by a name of this machine:
            else a web page elsewhere could give itself this address and read along.
    """
    media, previews = Media(project), Previews(project.workspace.storage)
    pages = Pages(project, playable=lambda video_id: media.playable(video_id) is not None)
    routes = [
        Route("/", pages.frames, methods=["GET"]),
        Route("/frame/{video_id}/{frame_index:int}", pages.frame, methods=["GET"]),
        Route("/videos", pages.videos, methods=["GET"]),
        Route("/video/{video_id}", pages.video, methods=["GET"]),
        Route("/repeats", pages.repeats, methods=["GET"]),
        Route("/repeats/{video_id}/{frame_index:int}", pages.group, methods=["GET"]),
        Route("/charts", pages.charts, methods=["GET"]),
        Route("/funnel", pages.funnel, methods=["GET"]),
        Route("/search", pages.search, methods=["GET"]),
        Route("/thumb/{video_id}/{frame_index:int}/{width:int}.jpg", media.thumbnail, methods=["GET"]),
        Route("/image/{video_id}/{frame_index:int}", media.image, methods=["GET"]),
        Route("/media/{video_id}", media.video, methods=["GET"]),
        Mount("/static", StaticFiles(directory=str(files("miner_assets.explore") / "static"))),
        Route("/{path:path}", previews.picture, methods=["GET"]),
    ]
    middleware = [Middleware(Guard, token=token)]
    if token is None:
        middleware.append(Middleware(TrustedHostMiddleware, allowed_hosts=list(LOOPBACK)))
    handlers = {HTTPException: pages.problem, MinerError: pages.problem}
    return Starlette(routes=routes, middleware=middleware, exception_handlers=handlers)
