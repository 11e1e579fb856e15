"""Fetches the pinned uv, and lets it build .venv from uv.lock; needs the standard library only.

The order is the point: a wheel is unpacked only after its SHA-256 was found equal to the one that
stands below, so neither the index nor the way to it has to be trusted.

    python scripts/bootstrap.py             uv and .venv
    python scripts/bootstrap.py --uv-only   uv alone, as .tools/uv
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import html.parser
import io
import os
import platform
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"
VENV = ROOT / ".venv"

UV_VERSION = "0.13.6"
PYPI = "https://pypi.org/simple"
AUTHORITY_VARIABLES = ("PIP_CERT", "REQUESTS_CA_BUNDLE")
INDEX_VARIABLES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL")
ATTEMPTS = 3
TIMEOUT_SECONDS = 60

# (machine, libc) -> file name, SHA-256
WHEELS = {
    ("x86_64", "glibc"): (
        "uv-0.13.6-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        "22759b8895e1103578de6fb4cd27e94b4399d021023378d29f01333717751fba",
    ),
    ("x86_64", "musl"): (
        "uv-0.13.6-py3-none-musllinux_1_1_x86_64.whl",
        "d1efed1d15102ffdbf5e0fd49a440643dda2d921a2ad856792ae42ccd43c253f",
    ),
    ("aarch64", "glibc"): (
        "uv-0.13.6-py3-none-manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64.whl",
        "7ec5486476d67a4214c460b5492393ee2300d84e1de17b293100a019b413568b",
    ),
    ("aarch64", "musl"): (
        "uv-0.13.6-py3-none-manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64.whl",
        "7ec5486476d67a4214c460b5492393ee2300d84e1de17b293100a019b413568b",
    ),
}


class BootstrapError(Exception):
    """Says what failed, where, and what to do about it."""


class _Links(html.parser.HTMLParser):
    """Collects the targets of an index page (PEP 503) by file name."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        target = dict(attrs).get("href")
        if tag == "a" and target:
            path = urllib.parse.urlsplit(target).path
            self.targets[urllib.parse.unquote(path.rsplit("/", 1)[-1])] = target


def index_from_environment() -> str | None:
    """Returns the package index that the environment names, or None for PyPI."""
    for name in INDEX_VARIABLES:
        value = os.environ.get(name, "").strip().rstrip("/")
        if value and value != PYPI:
            return value
    return None


def _split_login(url: str) -> tuple[str, dict[str, str]]:
    """Moves a user name and password out of a URL and into the header urllib wants them in."""
    parts = urllib.parse.urlsplit(url)
    if parts.username is None:
        return url, {}
    login = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2])
    header = base64.b64encode(login.encode()).decode()
    return urllib.parse.urlunsplit(bare), {"Authorization": f"Basic {header}"}


def _named_authorities() -> str | None:
    """Returns the file of CA certificates that the environment names for pip or requests."""
    named = (os.environ.get(name, "") for name in AUTHORITY_VARIABLES)
    return next((file for file in named if Path(file).is_file()), None)


def _has_authorities() -> bool:
    """Tells whether this machine has any CA certificates."""
    paths = ssl.get_default_verify_paths()
    return bool(_named_authorities() or paths.cafile or (paths.capath and any(Path(paths.capath).iterdir())))


def _tls(*, with_login: bool) -> ssl.SSLContext:
    """Returns a verifying context; on a machine without any CA file, one that relies on the hash.

    A bare Debian has no ca-certificates. What is fetched is public and checked against the pinned
    SHA-256, so TLS adds nothing there; a login is never sent that way.
    """
    context = ssl.create_default_context(cafile=_named_authorities())
    if not _has_authorities() and not with_login:
        print("bootstrap: no CA certificates here; relying on the pinned SHA-256 alone", flush=True)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _get(url: str, headers: dict[str, str], tls: ssl.SSLContext) -> bytes:
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - https, or the index asked for
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with urllib.request.urlopen(  # noqa: S310 - as above
                request, timeout=TIMEOUT_SECONDS, context=tls
            ) as answer:
                content: bytes = answer.read()
                return content
        except (OSError, urllib.error.URLError) as error:
            gone = isinstance(error, urllib.error.HTTPError) and error.code < 500  # noqa: PLR2004
            if gone or attempt == ATTEMPTS:
                raise BootstrapError(
                    f"cannot read {url}: {error}\n"
                    "  uv is needed once, to install what uv.lock names. Either\n"
                    "  - let this machine reach the index (HTTPS_PROXY; behind a proxy that opens TLS its CA,\n"
                    "    in the system's store or as PIP_CERT=/path/to/ca.pem), or\n"
                    "  - name a mirror: UV_INDEX_URL=https://mirror.example/simple make setup, or\n"
                    f"  - bring uv {UV_VERSION} along: UV=/path/to/uv make setup"
                ) from error
            time.sleep(attempt)
    raise AssertionError


def _download(name: str, digest: str) -> bytes:
    """Returns the wheel's bytes, checked.

    Raises:
        BootstrapError: the index cannot be read, has no such file, or sends another one.
    """
    index, login = _split_login(index_from_environment() or PYPI)
    host = urllib.parse.urlsplit(index).hostname or ""
    tls = _tls(with_login=bool(login))
    print(f"bootstrap: fetching uv {UV_VERSION} from {host}", flush=True)
    page = f"{index}/uv/"
    links = _Links()
    links.feed(_get(page, login, tls).decode("utf-8", "replace"))
    if name not in links.targets:
        raise BootstrapError(
            f"{page} does not list {name}\n"
            f"  The mirror lacks uv {UV_VERSION}: add it there, or UV=/path/to/uv make setup"
        )
    url = urllib.parse.urljoin(page, urllib.parse.urldefrag(links.targets[name]).url)
    same_host = urllib.parse.urlsplit(url).hostname == host
    content = _get(url, login if same_host else {}, tls)
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise BootstrapError(
            f"{url} is not the file that is pinned\n"
            f"  expected SHA-256 {digest}\n"
            f"  received SHA-256 {found} ({len(content)} bytes)\n"
            "  Nothing was unpacked. A proxy or mirror changed it, or the transfer broke: try\n"
            "  again, or from another network. Do not edit the hash to make this go away."
        )
    return content


def _unpack(wheel: bytes, target: Path) -> None:
    """Puts the wheel's one program at `target`, whole or not at all."""
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        member = next(n for n in archive.namelist() if n.endswith(".data/scripts/uv"))
        with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as file:
            file.write(archive.read(member))
    Path(file.name).chmod(0o755)
    Path(file.name).replace(target)


def _works(uv: str) -> bool:
    """Tells whether `uv` runs here and is of the pinned release line."""
    try:
        out = subprocess.run([uv, "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return False
    line = UV_VERSION.rpartition(".")[0]
    return out.startswith(f"uv {line}.")


def find_uv() -> Path:
    """Returns a working uv: the one `UV` names, the fetched one, one on PATH, or a fresh download.

    Raises:
        BootstrapError: there is none, and none can be fetched.
    """
    named = os.environ.get("UV")
    if named:
        if not _works(named):
            raise BootstrapError(f"UV={named} is no uv {UV_VERSION.rpartition('.')[0]}.x that runs")
        return Path(shutil.which(named) or named).resolve()
    pinned = TOOLS / f"uv-{UV_VERSION}"
    if _works(str(pinned)):
        return pinned
    on_path = shutil.which("uv")
    if on_path and _works(on_path):
        return Path(on_path).resolve()
    libc = "glibc" if platform.libc_ver()[0] == "glibc" else "musl"
    machine = platform.machine()
    if sys.platform != "linux" or (machine, libc) not in WHEELS:
        raise BootstrapError(
            f"no pinned uv for {sys.platform} on {machine} ({libc})\n"
            f"  Install uv {UV_VERSION} yourself and say: make setup UV=/path/to/uv"
        )
    name, digest = WHEELS[machine, libc]
    _unpack(_download(name, digest), pinned)
    if not _works(str(pinned)):
        raise BootstrapError(f"{pinned} was fetched but does not run on this machine")
    return pinned


def _environment() -> dict[str, str]:
    """Returns uv's environment: the caller's, without what would lead it to another folder.

    By itself uv trusts the CAs that it brings along; here it trusts those that the download of uv itself did.
    """
    dropped = {"VIRTUAL_ENV", *INDEX_VARIABLES}
    env = {name: value for name, value in os.environ.items() if name not in dropped}
    env |= {"UV_PYTHON_DOWNLOADS": "never", "UV_PROJECT_ENVIRONMENT": str(VENV)}
    if _has_authorities():
        env.setdefault("UV_SYSTEM_CERTS", "1")
    if named := _named_authorities():
        env["SSL_CERT_FILE"] = named
    if not os.access(Path.home(), os.W_OK):
        env.setdefault("UV_CACHE_DIR", str(TOOLS / "cache"))
    return env


def _run(uv: Path, *arguments: str, env: dict[str, str]) -> None:
    done = subprocess.run([str(uv), *arguments], cwd=ROOT, env=env, check=False)
    if done.returncode:
        raise BootstrapError(
            f"`uv {' '.join(arguments[:2])}` failed, see above\n"
            "  After a network problem: run the same again, what was fetched is kept.\n"
            "  After UnknownIssuer: name your proxy's CA as PIP_CERT=/path/to/ca.pem\n"
            "  After a change of pyproject.toml: make lock"
        )


def make_environment(uv: Path) -> None:
    """Brings .venv to what uv.lock says, hashes checked, from PyPI or the mirror that is named.

    Raises:
        BootstrapError: uv failed; its own words are above.
    """
    env = _environment()
    mirror = index_from_environment()
    if mirror is None:
        _run(uv, "sync", "--locked", "--quiet", "--python", sys.executable, env=env)
        return
    # The lock records PyPI's addresses, so a mirror gets the same versions and hashes as a list.
    wanted = TOOLS / "requirements.txt"
    _run(uv, "export", "--frozen", "--quiet", "--no-emit-project", "-o", str(wanted), env=env)
    if not (VENV / "bin" / "python").exists():
        _run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(VENV), env=env)
    env |= {"UV_DEFAULT_INDEX": mirror, "VIRTUAL_ENV": str(VENV)}
    _run(uv, "pip", "sync", "--quiet", "--require-hashes", str(wanted), env=env)
    _run(uv, "pip", "install", "--quiet", "--no-deps", "--editable", ".", env=env)


def _warn_of_folder() -> None:
    """Says what Python before 3.13, which reads .pth files in the locale's encoding, needs in `/home/jürgen`."""
    if not str(ROOT).isascii() and sys.version_info < (3, 13):
        print(
            f"bootstrap: {str(ROOT)!a} holds letters beyond ASCII; this Python finds Tradewarden there in a\n"
            "  UTF-8 locale only: no LC_ALL=C, but LC_ALL=C.UTF-8",
            file=sys.stderr,
            flush=True,
        )


def main(arguments: list[str]) -> int:
    """Runs both steps under one lock, so that two calls at once do the work once."""
    TOOLS.mkdir(exist_ok=True)
    with (TOOLS / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            uv = find_uv()
            link = TOOLS / "uv"
            link.unlink(missing_ok=True)
            link.symlink_to(uv.name if uv.parent == TOOLS else uv)
            if "--uv-only" not in arguments:
                _warn_of_folder()
                print(f"bootstrap: installing what uv.lock names into {VENV}", flush=True)
                make_environment(uv)
        except BootstrapError as error:
            print(f"bootstrap: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
