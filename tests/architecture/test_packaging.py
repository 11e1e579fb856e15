"""What is locked, pinned and promised to users hangs together."""

import hashlib
import os
import re
import ssl
import subprocess
import sys
import threading
import tomllib
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import tradewarden
from scripts import bootstrap
from tests.support.mtls import SERVER, TestCa

ROOT = Path(__file__).resolve().parents[2]


class Wheel(msgspec.Struct):
    """A wheel in the lock file."""

    url: str
    hash: str


class Locked(msgspec.Struct):
    """A package in the lock file."""

    name: str
    version: str
    wheels: list[Wheel] = []


class Lock(msgspec.Struct):
    """The lock file."""

    package: list[Locked]


class Project(msgspec.Struct):
    """The project's own table in pyproject.toml."""

    version: str
    dependencies: list[str]


class BuildSystem(msgspec.Struct):
    """The build table in pyproject.toml."""

    requires: list[str]


class Pyproject(msgspec.Struct, rename="kebab"):
    """The parts of pyproject.toml that are compared here."""

    project: Project
    build_system: BuildSystem
    dependency_groups: dict[str, list[str]]


def locked() -> dict[str, Locked]:
    """Returns the lock file's packages by name, without the project itself."""
    lock = msgspec.convert(tomllib.loads((ROOT / "uv.lock").read_text()), Lock)
    return {package.name: package for package in lock.package if package.name != "tradewarden"}


def pyproject() -> Pyproject:
    """Returns what pyproject.toml says."""
    return msgspec.convert(tomllib.loads((ROOT / "pyproject.toml").read_text()), Pyproject)


def test_every_locked_package_has_wheels_with_hashes() -> None:
    """Nothing is built from source on a user's machine, and every file is known by SHA-256."""
    for package in locked().values():
        assert package.wheels, f"{package.name} has no wheel"
        for wheel in package.wheels:
            assert re.fullmatch(r"sha256:[0-9a-f]{64}", wheel.hash), package.name


def test_bounds_fit_the_lock() -> None:
    """Each dependency has a lower bound, and the locked version meets it."""
    described = pyproject()
    wanted = [*described.project.dependencies, *described.dependency_groups["dev"]]
    packages = locked()
    for text in wanted:
        requirement = Requirement(text)
        assert any(bound.operator == ">=" for bound in requirement.specifier), text
        assert Version(packages[requirement.name].version) in requirement.specifier


def named_in(file: str) -> list[Requirement]:
    """Returns the packages that a file for pip names, without its options and comments."""
    lines = (ROOT / file).read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]


def test_constraints_are_the_lock() -> None:
    """`pip install -r requirements.txt` gets the locked versions, of the tools that it brings as well."""
    packages = locked()
    pinned = named_in("constraints.txt")
    for requirement in pinned:
        assert str(requirement.specifier) == f"=={packages[requirement.name].version}"
    wanted = [Requirement(text) for text in pyproject().project.dependencies] + named_in("requirements.txt")
    assert {requirement.name for requirement in wanted} <= {requirement.name for requirement in pinned}
    assert "-c constraints.txt" in (ROOT / "requirements.txt").read_text().splitlines()


def test_requirements_bring_what_tradpal_s_pytest_lines_need(tmp_path: Path) -> None:
    """Pytest understands those lines and our configuration with no plugins but those of `requirements.txt`."""
    brought = [requirement.name for requirement in named_in("requirements.txt")]
    assert "pytest" in brought
    entries = [entry for name in brought for entry in metadata.distribution(name).entry_points]
    plugins = [f"-p{entry.value}" for entry in entries if entry.group == "pytest11"]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "tests.py", "--cov=service", "--cov-report=", "--collect-only", "-q",
         "-pno:cacheprovider", *plugins],
        cwd=ROOT / "services" / "security_service",
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COVERAGE_FILE": str(tmp_path / "coverage"),
             "COVERAGE_RCFILE": os.devnull},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "TestSecurityServiceIntegration" in ran.stdout


def test_one_version_everywhere() -> None:
    """The package says the version that pyproject.toml says."""
    assert tradewarden.__version__ == pyproject().project.version


def test_the_build_backend_is_the_pinned_uv() -> None:
    """The pinned uv meets the build requirement, so that a build downloads no backend."""
    (backend,) = [Requirement(text) for text in pyproject().build_system.requires]
    assert backend.name == "uv_build"
    assert Version(bootstrap.UV_VERSION) in backend.specifier
    assert all(f"uv-{bootstrap.UV_VERSION}-" in name for name, _ in bootstrap.WHEELS.values())


@pytest.fixture
def wheel(tmp_path: Path) -> bytes:
    """A wheel with a program that calls itself the pinned uv."""
    path = tmp_path / "uv.whl"
    with zipfile.ZipFile(path, "w") as archive:
        program = f"#!/bin/sh\necho 'uv {bootstrap.UV_VERSION}'\n"
        archive.writestr(f"uv-{bootstrap.UV_VERSION}.data/scripts/uv", program)
    return path.read_bytes()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, wheel: bytes) -> list[tuple[str, dict[str, str]]]:
    """An index with one wheel under a relative link; gathers what it is asked for."""
    calls: list[tuple[str, dict[str, str]]] = []

    def get(url: str, headers: dict[str, str], tls: object) -> bytes:
        calls.append((url, headers))
        return b"<a href='../../files/uv.whl#sha256=00'>uv</a>" if url.endswith("/uv/") else wheel

    monkeypatch.setattr(bootstrap, "_get", get)
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://me:pass%40word@mirror.example/simple/")
    return calls


def test_bootstrap_takes_the_pinned_file(asked: list[tuple[str, dict[str, str]]], wheel: bytes, tmp_path: Path) -> None:
    """A mirror with a login and relative links gives the wheel, and its program runs."""
    digest = hashlib.sha256(wheel).hexdigest()
    content = bootstrap._download("uv.whl", digest)
    bootstrap._unpack(content, tmp_path / "uv")
    assert bootstrap._works(str(tmp_path / "uv"))
    login = {"Authorization": "Basic bWU6cGFzc0B3b3Jk"}
    assert asked == [
        ("https://mirror.example/simple/uv/", login),
        ("https://mirror.example/files/uv.whl", login),
    ]


def test_bootstrap_refuses_another_file(asked: list[tuple[str, dict[str, str]]]) -> None:
    """A file with another hash is refused, and both hashes are shown."""
    with pytest.raises(bootstrap.BootstrapError, match=r"expected SHA-256 0{64}\n.*received"):
        bootstrap._download("uv.whl", "0" * 64)


def test_bootstrap_names_what_the_mirror_lacks(asked: list[tuple[str, dict[str, str]]]) -> None:
    """A mirror without the pinned file is named, and so is the way out."""
    with pytest.raises(bootstrap.BootstrapError, match=r"does not list other\.whl\n.*UV=/path"):
        bootstrap._download("other.whl", "0" * 64)


class Index(NamedTuple):
    """A package index behind a CA that no machine trusts; `asked` is what it was asked for."""

    url: str
    authority: Path
    asked: list[str]


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    """A package index as a TLS-inspecting proxy shows it."""
    ca = TestCa(tmp_path / "proxy")
    shown = ca.leaf("localhost", [], purpose=SERVER, hosts=["localhost"])
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(shown.certificate, shown.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield Index(f"https://localhost:{server.server_port}/simple", ca.path, asked)
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("variable", ["PIP_CERT", "REQUESTS_CA_BUNDLE"])
def test_uv_trusts_the_ca_that_was_named_for_pip(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, index: Index, variable: str
) -> None:
    """Behind a proxy that opens TLS, uv reaches the index with the CA by which uv itself was fetched."""
    uv = ROOT / ".tools" / "uv"
    if not uv.exists():
        pytest.skip("no pinned uv here; `make setup` fetches it")
    for name in ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, str(index.authority))
    command: list[str | Path] = [uv, "pip", "install", "--dry-run", "--no-cache", "--index-url", index.url, "--target"]
    subprocess.run([*command, tmp_path, "thing"], env=bootstrap._environment(), capture_output=True, check=False)
    assert index.asked == ["/simple/thing/"]


def test_uv_trusts_the_system_where_there_are_ca_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's store counts, unless the caller says no; a bare machine keeps the CAs that uv brings."""
    for name in ("UV_SYSTEM_CERTS", *bootstrap.AUTHORITY_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(bootstrap, "_has_authorities", lambda: True)
    assert bootstrap._environment()["UV_SYSTEM_CERTS"] == "1"
    monkeypatch.setattr(bootstrap, "_has_authorities", lambda: False)
    assert "UV_SYSTEM_CERTS" not in bootstrap._environment()
    monkeypatch.setenv("UV_SYSTEM_CERTS", "0")
    monkeypatch.setattr(bootstrap, "_has_authorities", lambda: True)
    assert bootstrap._environment()["UV_SYSTEM_CERTS"] == "0"


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="reads .pth files as UTF-8")
def test_bootstrap_warns_of_a_folder_beyond_ascii(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says which locale such a folder needs."""
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path / "jürgen")
    bootstrap._warn_of_folder()
    assert "LC_ALL=C.UTF-8" in capsys.readouterr().err


def test_bootstrap_says_when_python_is_too_old(tmp_path: Path) -> None:
    """Without a fitting Python it says what is needed, what was found and what to do."""
    for name in ("sh", "cat", "cksum", "dirname"):
        target = next(Path(d) / name for d in ("/usr/bin", "/bin") if (Path(d) / name).exists())
        (tmp_path / name).symlink_to(target)
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\ncase $2 in *python_version*) echo 3.9.2;; *) exit 1;; esac\n")
    old.chmod(0o755)
    copy = tmp_path / "tree"
    (copy / "scripts").mkdir(parents=True)
    for name in ("uv.lock", "pyproject.toml", "scripts/bootstrap", "scripts/bootstrap.py"):
        (copy / name).write_bytes((ROOT / name).read_bytes())
    done = subprocess.run(
        [tmp_path / "sh", copy / "scripts" / "bootstrap"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "needs Python 3.11 or newer; found: python3=3.9.2" in done.stderr


def test_make_help_lists_every_target() -> None:
    """`make` alone prints a line for each target that is there to be typed."""
    text = (ROOT / "Makefile").read_text()
    (targets,) = re.findall(r"^\.PHONY: (.*)$", text, flags=re.MULTILINE)
    shown = subprocess.run(
        ["make", "--no-print-directory"],
        cwd=ROOT,
        env={**os.environ, "MAKEFLAGS": ""},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert [line.split()[1] for line in shown.splitlines()] == targets.split()


def test_settings_are_light() -> None:
    """Reading the settings loads no cryptography, HTTP client, server or .env parser."""
    heavy = "{'cryptography', 'dotenv', 'httpx', 'joserfc', 'msgspec', 'starlette', 'typer'}"
    code = f"import sys, tradewarden.settings; print(sorted({heavy} & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[]"


ADVISED = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("src/**/*.py"), *ROOT.glob("scripts/*")]


def test_nobody_is_told_to_install_a_name_that_is_not_ours() -> None:
    """No page and no text says `pip install tradewarden`: an index may give that name to anyone."""
    by_name = re.compile(r"\binstall\s+(?:-\S+\s+)*['\"]?(?:tradewarden\b(?!-\*)(?!/)|tradewarden\[)|tradewarden\[")
    told = [file for file in ADVISED if file.is_file() and by_name.search(file.read_text())]
    assert told == []


def test_the_advice_to_install_an_extra_names_one_that_there_is() -> None:
    """`pip install '.[name]'` is written of extras of `pyproject.toml` only."""
    texts = [file.read_text() for file in ADVISED if file.is_file()]
    named = {name for text in texts for name in re.findall(r"pip\s+install\s+'\.\[(\w+)\]'", text)}
    named |= {name for text in texts for name in re.findall(r'ExtraMissingError\([^)]*"(\w+)"\)', text)}
    assert {"vault", "hsm", "aws", "exchange", "migrate", "postgres"} <= named
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert named <= set(extras)
