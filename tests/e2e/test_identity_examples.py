"""The examples of docs/identity.md, run as they stand there: nginx, FastAPI under uvicorn, PostgreSQL with asyncpg."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]
import pytest

from tests.support.pages import ROOT
from tests.support.postgres import Postgres, postgres
from tests.support.service import free_port, wait_until
from tests.support.walkthrough import Walkthrough, walked

PAGE = (ROOT / "docs/identity.md").read_text()
_OURS = re.compile(r"^<!-- run: no, see tests/e2e/test_identity_examples\.py -->\n(?=```(?:sh|text)$)", re.MULTILINE)
_SHOWN = re.compile(
    r"\]\(\.\./(?P<path>examples/identity/[\w.]+)\):\n+(?:<!-- [^\n]* -->\n)?```\w+\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_PORTS = ("9443", "9444")
"""Where the examples listen; each run takes free ones."""

pytestmark = pytest.mark.slow


def chapter(heading: str) -> str:
    """Return a part of the page, with those of its blocks that run here."""
    found = re.search(rf"^## {re.escape(heading)}\n.*?(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, heading
    return _OURS.sub("", found[0])


@contextmanager
def example(
    heading: str, folder: Path, environment: Mapping[str, str] | None = None, programs: Path = ROOT
) -> Iterator[Walkthrough]:
    """Run what the page does up to the first service's certificate, then one chapter; the service stays until the end.

    The listeners' ports are free ones in page and files. `programs` is one more place where programs are.
    """
    start = PAGE[: PAGE.index("\n## ")]
    text = start + "".join(map(chapter, ("What an identity is", "Enrol a service without a human", heading)))
    ports = {port: str(free_port()) for port in _PORTS}
    page = folder / "identity.md"
    page.write_text(_with_ports(text, ports))
    with walked(page, folder) as run:
        for file in (run.folder / "examples/identity").iterdir():
            if file.suffix in (".conf", ".py"):
                file.write_text(_with_ports(file.read_text(), ports))
        run.environment.update(environment or {})
        run.environment["PATH"] += f":{programs}"
        run.run()
        yield run


def _with_ports(text: str, ports: Mapping[str, str]) -> str:
    return re.sub("|".join(ports), lambda found: ports[found[0]], text)


def shell(run: Walkthrough, text: str) -> str:
    """Run one more block in the session of the page."""
    return run._program(["bash", "-euo", "pipefail"], run._filled(text), run.folder).strip()


def test_the_page_shows_the_files() -> None:
    """What stands below a file's name is that file, or one piece of it."""
    shown = list(_SHOWN.finditer(PAGE))
    assert len(shown) >= 5
    for each in shown:
        assert each["text"] in (ROOT / each["path"]).read_text(), each["path"]
    assert {Path(each["path"]).name for each in shown} >= {"nginx.conf", "app.py", "pg_hba.conf", "postgres.py"}


@pytest.fixture
def nginx() -> Path:
    """The program; without it the test is skipped, and in CI that is a failure."""
    found = shutil.which("nginx", path=os.pathsep.join((os.environ["PATH"], "/usr/sbin", "/usr/local/sbin")))
    if found is not None:
        return Path(found)
    why = "needs nginx; scripts/test-tools installs it"
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)


ISSUE = "tradewarden ca issue {name} --out others > /dev/null"
CURL = (
    "curl -s --cacert identity/current/ca.pem {shown} -o /dev/null -w '%{{http_code}}'"
    " --resolve edge.internal:9443:127.0.0.1 https://edge.internal:9443/ || true"
)


def test_nginx(nginx: Path, tmp_path: Path) -> None:
    """It lets in the service that is on its list, also while the root changes, and refuses everybody else."""
    with example("nginx", tmp_path, programs=nginx.parent) as run:
        try:
            port = re.search(r"listen 127\.0\.0\.1:(\d+)", (run.folder / "edge/nginx.conf").read_text())
            assert port is not None
            _others_are_refused(run, port[1])
        finally:
            subprocess.run([nginx, "-p", run.folder / "edge", "-c", "nginx.conf", "-s", "stop"], check=True)


def _others_are_refused(run: Walkthrough, port: str) -> None:
    held = shell(run, "openssl x509 -in edge/identity/current/cert.pem -noout -serial")
    ask = f"openssl s_client -connect 127.0.0.1:{port} 2> /dev/null < /dev/null | openssl x509 -noout -serial"
    wait_until(lambda: shell(run, ask) == held, "nginx does not show its new certificate")

    def answered(name: str) -> str:
        shown = f"--cert others/{name}.pem --key others/{name}.key" if name else ""
        return shell(run, CURL.format(shown=shown).replace("9443", port))

    shell(run, "mkdir others && " + " && ".join(ISSUE.format(name=name) for name in ("order-router", "stranger")))
    assert [answered(name) for name in ("order-router", "stranger", "")] == ["200", "403", "400"]
    shell(run, "tradewarden ca rotate root > /dev/null\nmkdir soon && tradewarden ca issue order-router --out soon")
    soon = CURL.format(shown="--cert soon/order-router.pem --key soon/order-router.key").replace("9443", port)
    assert shell(run, soon) == "200", "nginx lacks a list of what is issued while a new root is announced"
    _root_changes(run)
    later = CURL.format(shown="--cert later/order-router.pem --key later/order-router.key").replace("9443", port)
    wait_until(lambda: shell(run, later) == "200", "nginx refuses a certificate under the new root")
    assert answered("order-router") == "200"
    shell(
        run,
        "tradewarden ca revoke --yes $(openssl x509 -in others/order-router.pem -noout -serial | cut -d = -f 2)\n"
        "$RELOAD",
    )
    wait_until(lambda: answered("order-router") == "400", "nginx lets in a revoked certificate")
    assert "certificate revoked" in (run.folder / "edge/error.log").read_text()


def _root_changes(run: Walkthrough) -> None:
    """Issue below the new root from now on, and renew nginx's certificate and one caller's under it."""
    shell(
        run,
        "tradewarden ca rotate issuing > /dev/null\n"
        "tradewarden ca renew --force --dir edge/identity --mtls-url https://127.0.0.1:8443 "
        '--on-change "$RELOAD" > /dev/null\n'
        "mkdir later && tradewarden ca issue order-router --out later > /dev/null",
    )


def test_fastapi(tmp_path: Path) -> None:
    """The application knows its caller by the certificate, and refuses one that it does not want."""
    with example("FastAPI", tmp_path) as run:
        port = re.search(r"port=(\d+)", (run.folder / "examples/identity/app.py").read_text())
        assert port is not None
        asked = chapter("FastAPI").partition("```sh\n")[2].partition("```")[0].partition("\n")[2]
        stranger = "--cert payments.pem --key payments.key -w '%{http_code}'"
        shell(run, "tradewarden ca issue payments")
        came = shell(
            run,
            asked.replace("mtls -o", f"curl -s --cacert identity/current/ca.pem {stranger} -o").replace(
                "9444", port[1]
            ),
        )
        assert "403" in came
        assert '{"detail":"Forbidden"}' in came


def test_postgresql(tmp_path: Path) -> None:
    """A service gets the role that the map gives it and no other, until it is revoked."""
    with postgres() as server:
        asyncio.run(_make_roles(server))
        given = {"PGDATA": str(server.data), "PGHOST": "127.0.0.1", "PGPORT": str(server.port)}
        with example("PostgreSQL", tmp_path, given) as run:
            for role in ("orders_reader", "tradewarden"):
                assert "authentication failed" in _connected(run, role)
            serial = "$(openssl x509 -in identity/current/cert.pem -noout -serial | cut -d = -f 2)"
            shell(run, f"tradewarden ca revoke --yes {serial}\n$REFRESH")
            wait_until(lambda: _connected(run) != "orders_writer", "PostgreSQL lets in a revoked certificate")
            shell(
                run,
                "tradewarden ca join-token order-router |"
                " tradewarden ca enroll --dir identity --join-token-file - --force",
            )
            assert _connected(run) == "orders_writer"


async def _make_roles(server: Postgres) -> None:
    connection = await asyncpg.connect(server.url)
    for role in ("orders_writer", "orders_reader"):
        await connection.execute(f"CREATE ROLE {role} LOGIN")
    await connection.close()


def _connected(run: Walkthrough, role: str = "orders_writer") -> str:
    """Return what the example says in the end when it asks for a role."""
    shell(run, f"sed s/orders_writer/{role}/ examples/identity/postgres.py > other.py")
    return shell(run, "{ IDENTITY=identity python other.py 2>&1 || true; } | tail -n 1")
