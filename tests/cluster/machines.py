"""A PostgreSQL server and a Ray cluster of several nodes, as processes on the loopback interface."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.assets.dagster_dev import free_port

BIN = Path(sys.executable).parent
START_S = 90


def postgres_programs() -> Path | None:
    """The folder of Debian's server programs, or of whatever is on the PATH."""
    found = shutil.which("initdb")
    folders = [
        *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True),
        *([Path(found).parent] if found else []),
    ]
    return next((folder for folder in folders if (folder / "createdb").exists()), None)


@contextmanager
def postgres() -> Generator[dict[str, str]]:
    """The environment that deploy/ray/dagster.yaml asks for, with a fresh database."""
    programs = postgres_programs()
    assert programs is not None
    port = str(free_port())
    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        data = Path(folder) / "data"
        # The server refuses to run as root, as tests in containers do.
        user = "postgres" if os.geteuid() == 0 else None
        if user:
            os.chown(folder, pwd.getpwnam(user).pw_uid, -1)

        def call(program: str, *arguments: str) -> None:
            subprocess.run([programs / program, *arguments], user=user, check=True, stdout=subprocess.DEVNULL, cwd="/")

        call("initdb", "-D", str(data), "-U", "dagster", "--auth=trust")
        settings = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
        call("pg_ctl", "-D", str(data), "-o", settings, "-l", str(data / "log"), "-w", "start")
        try:
            call("createdb", "-h", "127.0.0.1", "-p", port, "-U", "dagster", "dagster")
            yield {
                "DAGSTER_PG_HOST": "127.0.0.1",
                "DAGSTER_PG_PORT": port,
                "DAGSTER_PG_USERNAME": "dagster",
                "DAGSTER_PG_PASSWORD": "none",
                "DAGSTER_PG_DB": "dagster",
            }
        finally:
            call("pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")


class RayCluster:
    """Nodes with one processor and one (pretended) GPU each."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self._environment = {**environment, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "RAY_DEDUP_LOGS": "0"}
        self._gcs, self._dashboard = free_port(), free_port()
        self._nodes: list[subprocess.Popen[bytes]] = []
        self.url = f"http://127.0.0.1:{self._dashboard}"

    def add_node(self) -> None:
        """Start one more node; the first one is the head."""
        head = ["--head", "--port", self._gcs, "--dashboard-port", self._dashboard, "--temp-dir", self.folder]
        role = head if not self._nodes else ["--address", f"127.0.0.1:{self._gcs}"]
        ports = [["--ray-client-server-port", free_port()]] if not self._nodes else []
        ports += [[f"--{name}", free_port()] for name in ("dashboard-agent-listen-port", "metrics-export-port")]
        amounts = ["--num-cpus", 2, "--num-gpus", 1, "--object-store-memory", 100_000_000, "--disable-usage-stats"]
        words = ["start", *role, *amounts, *(word for pair in ports for word in pair)]
        command = [str(BIN / "ray"), *map(str, words), "--node-ip-address", "127.0.0.1", "--block"]
        log = (self.folder.parent / f"node{len(self._nodes)}.log").open("wb")
        self._nodes.append(
            subprocess.Popen(command, env=self._environment, stdout=log, stderr=log, start_new_session=True)
        )
        log.close()
        self._wait(len(self._nodes))

    def kill_node(self, number: int) -> None:
        """As if its power went: everything of it at once."""
        node = self._nodes[number]
        for process in _family(node.pid):
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue
        node.wait(30)

    def jobs(self) -> list[dict[str, str]]:
        """What was submitted, with `status` and `submission_id`."""
        from ray.job_submission import JobSubmissionClient

        return [
            {"id": job.submission_id or "", "status": str(job.status), "node": str(job.driver_node_id)}
            for job in JobSubmissionClient(self.url).list_jobs()
        ]

    def stop(self) -> None:
        for number in reversed(range(len(self._nodes))):
            if self._nodes[number].poll() is None:
                self.kill_node(number)

    def _wait(self, nodes: int) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"{self.url}/api/cluster_status", timeout=5) as answer:
                    if answer.read().decode().count("node:127.0.0.1") or nodes == len(self._alive()):
                        return
            except OSError:
                pass
            time.sleep(0.5)
        raise TimeoutError((self.folder.parent / f"node{nodes - 1}.log").read_text()[-3000:])

    def _alive(self) -> list[str]:
        import json

        with urllib.request.urlopen(f"{self.url}/nodes?view=summary", timeout=5) as answer:
            rows = json.loads(answer.read())["data"]["summary"]
        return [row["raylet"]["nodeId"] for row in rows if row["raylet"]["state"] == "ALIVE"]


@contextmanager
def ray_cluster(environment: Mapping[str, str], nodes: int) -> Generator[RayCluster]:
    """A cluster whose processes have that environment."""
    # Sockets have short paths: the usual folders of tests are too deep.
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        temporary = Path(folder) / "t"
        temporary.mkdir()
        cluster = RayCluster(temporary, environment)
        try:
            for _ in range(nodes):
                cluster.add_node()
            yield cluster
        finally:
            cluster.stop()


def _family(pid: int) -> list[int]:
    """A process and all that descend from it, children first."""
    children: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(status.parent.name))
    found: list[int] = []
    todo = [pid]
    while todo:
        parent = todo.pop()
        found.append(parent)
        todo += children.get(parent, [])
    return found[::-1]
