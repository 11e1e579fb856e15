"""The real service, as `tradewarden serve` starts it, for the tests of one session."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

START_SECONDS = 30.0
STOP_SECONDS = 30.0
PROGRAM = Path(sys.executable).with_name("tradewarden")


class Service(NamedTuple):
    """Where a running service answers, and where its data lies. `environment` starts commands beside it."""

    url: str
    data_dir: Path
    process: subprocess.Popen[bytes]
    environment: dict[str, str]

    @property
    def admin_token(self) -> str:
        """The token of its admin."""
        return (self.data_dir / "admin.token").read_text().strip()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.environment["SERVICE_PORT"])

    @property
    def log(self) -> Path:
        """What it writes to its standard output and error."""
        return self.data_dir.parent / "serve.log"

    def children(self) -> list[int]:
        """Return the process ids of its workers, in their order, and last its clerk's."""
        pid = self.process.pid
        return sorted(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))

    def kill_tree(self) -> None:
        """End every process of it at once, without a word (SIGKILL), and return when they are gone."""
        pids = [self.process.pid, *self.children()]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        self._wait_until_gone(pids[1:])

    def kill_supervisor(self) -> None:
        """End the one process that was started, with SIGKILL; return when its children are gone too."""
        pids = self.children()
        self.process.kill()
        self._wait_until_gone(pids)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command beside its data."""
        return subprocess.run(
            [PROGRAM, *arguments],
            cwd=self.data_dir.parent,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def _wait_until_gone(self, pids: list[int]) -> None:
        self.process.wait(STOP_SECONDS)
        wait_until(lambda: not any(map(_runs, pids)), "processes of the service outlive it")
        wait_until(lambda: _is_free(self.port), "the port of the service is still taken")

    def again(self, *, ready: bool = True) -> Service:
        """Start it once more after its end: same data, same port, same settings."""
        environment = {name: self.environment[name] for name in self.environment if _ours(name)}
        return (start if ready else begin)(self.data_dir.parent, **environment)


def wait_until(condition: Callable[[], bool], failure: str, seconds: float = 40.0) -> None:
    """Return once `condition()` holds; asks for it every few milliseconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, failure
        time.sleep(0.01)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _runs(pid: int) -> bool:
    """Tell whether a process runs; one that is only not reaped yet does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def free_port() -> int:
    """Return a port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def bare_environment() -> dict[str, str]:
    """Return this process's environment without settings of the service."""
    return {name: value for name, value in os.environ.items() if not _ours(name)}


def _ours(name: str) -> bool:
    """Tell whether an environment variable is a setting of the service."""
    return name.startswith(("TRADEWARDEN_", "ALPHAPULSE_", "SERVICE_", "JWT_", "ENABLE_", "CA_", "CERT_", "VAULT_"))


def start(directory: Path, **settings: str) -> Service:
    """Start a service on data in `directory` and return once it is ready."""
    service = begin(directory, **settings)
    _wait_until(service, lambda: _is_ready(service))
    return service


def begin(directory: Path, **settings: str) -> Service:
    """Start a service on data in `directory` and return once it has told that all of its processes are there."""
    data = directory / "security"
    places = {"SERVICE_PORT": str(free_port()), "TRADEWARDEN_MTLS_PORT": "0"}
    chosen = {"TRADEWARDEN_DATA_DIR": str(data), **places, **settings}
    environment = {**bare_environment(), "PYTHONFAULTHANDLER": "1", **chosen}
    with (directory / "serve.log").open("ab") as log:
        said = log.tell()
        process = subprocess.Popen([PROGRAM, "serve"], cwd=directory, env=environment, stdout=log, stderr=log)
    scheme = "http" if environment.get("ALPHAPULSE_ENV", "development") == "development" else "https"
    service = Service(f"{scheme}://127.0.0.1:{chosen['SERVICE_PORT']}", data, process, environment)
    _wait_until(service, lambda: b"\nTry:" in service.log.read_bytes()[said:])
    return service


def _wait_until(service: Service, condition: Callable[[], bool]) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and service.process.poll() is None:
        if condition():
            return
        time.sleep(0.01)  # the condition is the service's own answer; there is nothing to wait on before it listens
    if service.process.poll() is None:  # where every thread of it hangs goes to the log (faulthandler)
        for pid in [*service.children(), service.process.pid]:
            os.kill(pid, signal.SIGABRT)
        service.process.wait(STOP_SECONDS)
    raise AssertionError(f"the service did not become ready:\n{service.log.read_text(errors='replace')[-12_000:]}")


def _is_ready(service: Service) -> bool:
    trust: ssl.SSLContext | bool = False  # in clear nothing is verified, and to read the machine's roots takes a while
    try:
        if service.url.startswith("https:"):
            trust = ssl.create_default_context(cafile=service.data_dir / "ca" / "ca_cert.pem")
        return httpx.get(f"{service.url}/health/ready", trust_env=False, verify=trust).is_success
    except (httpx.TransportError, FileNotFoundError):
        return False


def stop(service: Service) -> int:
    """Stop a service in order and return its exit code."""
    service.process.terminate()
    try:
        return service.process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        service.process.kill()
        return service.process.wait(STOP_SECONDS)


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service of its own, in development, on a free port, for the whole session."""
    running = start(tmp_path_factory.mktemp("service"))
    yield running
    stop(running)
