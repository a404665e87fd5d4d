"""`video-miner explore`: read-only web pages over the mined frames."""

import os
import secrets
import socket
import webbrowser
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.markup import escape

from miner_assets.commands.shared import OutputDir, err, out, project_config, reports_errors
from miner_resources.errors import NotConfigured, NotFound

PORT: Final = 3002
TOKEN_VARIABLE: Final = "VIDEO_MINER_TOKEN"
TOKEN_BYTES: Final = 24


@reports_errors
def explore(
    files: Annotated[list[Path] | None, typer.Argument(metavar="[FILE...]", help="Configuration files.")] = None,
    port: Annotated[int, typer.Option(metavar="N", min=0, max=65535, help="Port; 0 for any that is free.")] = PORT,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address to listen on; others than this machine need a token.")
    ] = "127.0.0.1",
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the pages in a browser.")] = True,
    output: OutputDir = None,
) -> None:
    """Look at the mined frames: boxes, decisions and their reasons, near-duplicates, scores, text search.

    Nothing of the project is changed. Only this machine can open the pages, unless --host says otherwise: then the
    address has a token, new each time or that of the environment variable VIDEO_MINER_TOKEN.

    Examples:
      video-miner explore --output demo_output

      video-miner explore my.yaml --port 8080 --no-open

      video-miner explore --host 0.0.0.0      # for others in a network that is trusted
    """
    from miner_assets.explore.project import Project
    from miner_assets.explore.security import is_loopback
    from miner_assets.explore.server import make_server, serve
    from miner_assets.workspace import Workspace

    workspace = Workspace.open(project_config(output, files or []))
    root = workspace.storage.root
    if not root.is_dir():
        raise NotFound(f"{root} does not exist", remedy="name the output folder of a project with --output")
    port = _bindable(host, port)
    token = None if is_loopback(host) else os.environ.get(TOKEN_VARIABLE) or secrets.token_urlsafe(TOKEN_BYTES)
    shown = f"[{host}]" if ":" in host else host
    if token is not None:
        shown = socket.gethostname() if host in ("0.0.0.0", "::") else shown
        err.print(
            "[yellow]warning:[/yellow] everybody who knows the address below can look at this project, and it is sent "
            "without encryption; in a network that is not trusted use a tunnel: ssh -L", highlight=False, soft_wrap=True
        )  # fmt: skip
    address = f"http://{shown}:{port}/" + (f"?token={token}" if token else "")

    def started() -> None:
        out.print(f"{root} on {address}", highlight=False, markup=False, soft_wrap=True)
        err.print("Ctrl-C stops it", highlight=False)
        if open_browser and token is None:
            webbrowser.open(address)

    project = Project(workspace)
    with err.status(f"reading {escape(str(root))}"):
        _ = project.latest  # so that the first page is as fast as the others
    serve(make_server(project, host=host, port=port, token=token), started)


def _bindable(host: str, port: int) -> int:
    """The port, or one that is free for 0.

    Raises:
        NotConfigured: somebody else listens there, or the address is none of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(address)
            return tried.getsockname()[1]
    except OSError as error:
        raise NotConfigured(
            f"{host} port {port} cannot be used: {error.strerror or error}",
            remedy="choose another --port (0 for any that is free), or stop what listens there",
        ) from error
