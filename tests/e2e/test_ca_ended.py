"""A real service under a root whose time is over: it says so, goes on without certificates, and is led out of it."""

from __future__ import annotations

import json
import subprocess
import time
from base64 import b64encode
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.support import service as services
from tests.support.moved_time import MovedTime
from tests.support.pki import own_ca
from tests.support.service import PROGRAM, Service, bare_environment, free_port, stop, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

DAY, HOUR = 86_400.0, 3600.0


@pytest.fixture
def clock(tmp_path: Path) -> MovedTime:
    """The clock of the machine that the service runs on."""
    return MovedTime(tmp_path)


@pytest.fixture
def begin(tmp_path: Path, clock: MovedTime) -> Iterator[Callable[..., Service]]:
    """Start the service of this test, and again with other settings; nothing of it is left in the end."""
    settings = {**clock.environment, "SERVICE_PORT": str(free_port())}
    started: list[Service] = []

    def begun(*, ready: bool = True, **more: str) -> Service:
        run = services.start if ready else services.begin
        started.append(run(tmp_path, **settings, **more))
        return started[-1]

    yield begun
    for service in started:
        stop(service)


def ended(tmp_path: Path) -> dict[str, str]:
    """Return the settings that bring along a root which ended an hour ago."""
    made = own_ca(tmp_path / "own", starts=time.time() - DAY - HOUR, days=1)
    return {"CA_CERT_PATH": str(made["ca_cert_path"]), "CA_KEY_PATH": str(made["ca_key_path"])}


def warnings(service: Service) -> list[str]:
    """Return what readiness says of the CAs of a service that is ready."""
    answer = httpx.get(f"{service.url}/health/ready", trust_env=False)
    assert answer.status_code == httpx.codes.OK
    return [each for each in json.loads(answer.text).get("warnings", []) if each.startswith("ca:")]


def test_the_way_out_of_a_root_that_has_ended(tmp_path: Path, clock: MovedTime, begin: Callable[..., Service]) -> None:
    """The command that the warning names works, secrets go on, and every start on the way, whatever is still set."""
    own = ended(tmp_path)
    clock.move(-2 * HOUR)
    service = begin(**own)
    before = httpx.get(f"{service.url}/ca/certificate", trust_env=False).text
    assert not [each for each in warnings(service) if "ended" in each]

    clock.move(0.0)
    wait_until(lambda: any("ended" in each for each in warnings(service)), "the end is not told")
    assert stop(service) == 0
    service = begin(**own)
    (told,) = warnings(service)
    assert "the root CA ended on" in told
    assert told.endswith(": tradewarden ca rotate root")
    assert "the root CA ended on" in service.run("status").stdout
    (tmp_path / "secret.json").write_text('{"key": "value"}')
    assert service.run("secrets", "put", "app/one", "--file", "secret.json").returncode == 0, "secrets stopped"
    refused = service.run("ca", "issue", "bot")
    assert (refused.returncode != 0, "tradewarden status" in refused.stderr) == (True, True)
    refused = service.run("ca", "rotate", "issuing")
    assert (refused.returncode, ": tradewarden ca rotate root" in refused.stderr) == (5, True)

    done = service.run("ca", "rotate", "root")
    assert done.returncode == 0
    assert "give it to every client that lacks it" in done.stderr
    assert httpx.get(f"{service.url}/ca/certificate", trust_env=False).text != before
    assert service.run("ca", "issue", "bot").returncode == 0
    assert stop(service) == 0
    service = begin(**own)
    (told,) = warnings(service)
    assert told.endswith("names a CA that is no root here any more; unset it and CA_KEY_PATH")
    assert stop(service) == 0
    service = begin()
    assert warnings(service) == []
    assert service.run("ca", "issue", "other").returncode == 0


def test_the_way_out_when_nobody_can_call(tmp_path: Path, clock: MovedTime, begin: Callable[..., Service]) -> None:
    """Outside development the port's certificate ends with its CA; started as behind a proxy, it can be rotated."""
    root_key = b64encode(bytes(range(32))).decode()
    outside = {"ALPHAPULSE_ENV": "staging", "TRADEWARDEN_ROOT_KEY": "env:ENDED_ROOT_KEY", "ENDED_ROOT_KEY": root_key}
    data = {"TRADEWARDEN_DATA_DIR": str(tmp_path / "security"), **outside, **ended(tmp_path)}
    clock.move(-2 * HOUR)
    subprocess.run(
        [PROGRAM, "init"], env={**bare_environment(), **clock.environment, **data}, check=True, capture_output=True
    )

    clock.move(0.0)
    service = begin(ready=False, **outside)
    assert "does not prove itself" in service.run("status").stdout
    assert stop(service) == 0
    service = begin(ready=False, TRADEWARDEN_TRUSTED_PROXIES="127.0.0.1/32", **outside)
    done = service.run("--url", f"http://127.0.0.1:{service.port}", "ca", "rotate", "root")
    assert done.returncode == 0, done.stderr
    assert stop(service) == 0
    assert begin(**outside).run("status").returncode == 0
