"""The real service, as `tradewarden serve` starts it, for the tests of one session."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
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


def free_port() -> int:
    """Return a port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def bare_environment() -> dict[str, str]:
    """Return this process's environment without settings of the service."""
    ours = ("TRADEWARDEN_", "ALPHAPULSE_", "SERVICE_", "JWT_", "ENABLE_", "CA_", "CERT_", "VAULT_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def start(directory: Path, **settings: str) -> Service:
    """Start a service on data in `directory` and return once it is ready."""
    port = free_port()
    data = directory / "security"
    chosen = {"TRADEWARDEN_DATA_DIR": str(data), "SERVICE_PORT": str(port), **settings}
    environment = {**bare_environment(), **chosen}
    log = (directory / "serve.log").open("wb")
    with log:
        process = subprocess.Popen([PROGRAM, "serve"], cwd=directory, env=environment, stdout=log, stderr=log)
    service = Service(f"http://127.0.0.1:{port}", data, process, environment)
    _wait_until_ready(service, directory / "serve.log")
    return service


def _wait_until_ready(service: Service, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and service.process.poll() is None:
        try:
            if httpx.get(f"{service.url}/health/ready", trust_env=False).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.05)  # the condition is the service's own answer; there is nothing to wait on before it listens
    stop(service)
    raise AssertionError(f"the service did not become ready:\n{log.read_text(errors='replace')}")


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
