"""A token of SoftHSM 2, which behaves like one in hardware, with its files below a test's own directory."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tradewarden.crypto.pkcs11 import Access, Token, release
from tradewarden.settings.pkcs11 import parse_token_uri
from tradewarden.settings.secret import Secret

PIN = "483920"
_MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
)


class SoftHsm(NamedTuple):
    """One token: its label, the module that leads to it, and where its files lie."""

    directory: Path
    label: str
    module: Path

    @property
    def uri(self) -> str:
        """What names it."""
        return f"pkcs11:token={self.label}"

    @property
    def access(self) -> Access:
        """How a process gets there."""
        return Access(self.module, Secret(PIN))

    @property
    def settings(self) -> dict[str, str]:
        """What a service needs in its environment to get there."""
        return {
            "SOFTHSM2_CONF": str(self.directory / "softhsm2.conf"),
            "TRADEWARDEN_PKCS11_MODULE": str(self.module),
            "TRADEWARDEN_PKCS11_PIN": PIN,
        }

    def token(self, pin: str = PIN) -> Token:
        """Return it as this process sees it."""
        return Token(parse_token_uri(self.uri), Access(self.module, Secret(pin)))

    def take_away(self) -> None:
        """Pull it out."""
        (self.directory / "tokens").rename(self.directory / "away")

    def put_back(self) -> None:
        """Put it in again."""
        (self.directory / "away").rename(self.directory / "tokens")

    def another(self, label: str) -> SoftHsm:
        """Make one more token beside it."""
        _make(label)
        return self._replace(label=label)


@pytest.fixture
def module() -> Path:
    """SoftHSM's module; without it a test is skipped, and in CI that is a failure."""
    found = next((Path(each) for each in _MODULES if Path(each).is_file()), None)
    if found is not None and shutil.which("softhsm2-util") is not None:
        return found
    why = "needs SoftHSM 2 (softhsm2-util and its module); scripts/test-tools installs it"
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)


@pytest.fixture
def softhsm(module: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SoftHsm]:
    """A token of its own for one test."""
    directory = tmp_path / "softhsm"
    (directory / "tokens").mkdir(parents=True)
    (directory / "softhsm2.conf").write_text(f"directories.tokendir = {directory}/tokens\nlog.level = ERROR\n")
    release()
    monkeypatch.setenv("SOFTHSM2_CONF", str(directory / "softhsm2.conf"))
    label = f"test-{os.urandom(4).hex()}"
    _make(label)
    yield SoftHsm(directory, label, module)
    release()


def _make(label: str) -> None:
    release()  # SoftHSM looks for tokens when it is initialised
    subprocess.run(
        ["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", "9911"],
        check=True,
        capture_output=True,
    )
