"""The images are not built here, so what they copy, set and start is checked on the text."""

import json
import re
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from scripts import healthcheck

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILES = (ROOT / "Dockerfile", ROOT / "services" / "security_service" / "Dockerfile")


def instructions(dockerfile: Path) -> Iterator[tuple[str, str]]:
    """Yields each instruction's name and argument, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", dockerfile.read_text(), flags=re.MULTILINE)
    for line in text.replace("\\\n", " ").splitlines():
        if line.strip():
            name, _, argument = line.strip().partition(" ")
            yield name, argument.strip()


def copied_from_context(dockerfile: Path) -> Iterator[str]:
    """Yields every path of the build context that the image copies."""
    for name, argument in instructions(dockerfile):
        if name in {"COPY", "ADD"} and "--from=" not in argument:
            yield from (part.rstrip("/") for part in argument.split()[:-1])


@pytest.fixture(params=DOCKERFILES, ids=["root", "security_service"])
def dockerfile(request: pytest.FixtureRequest) -> Path:
    """Each Dockerfile of the repository."""
    path = request.param
    assert isinstance(path, Path)
    return path


def test_the_root_image_copies_what_is_there() -> None:
    """Each copied path exists and is let through by .dockerignore."""
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line.startswith("!")}
    paths = set(copied_from_context(DOCKERFILES[0]))
    assert paths == allowed
    assert all((ROOT / path).exists() for path in paths)


def test_the_service_image_copies_what_make_image_makes() -> None:
    """Each copied path lies in dist/, and `make image` puts it there."""
    recipe = (ROOT / "Makefile").read_text().partition("\nimage:")[2].partition("\n\n")[0]
    for path in copied_from_context(DOCKERFILES[1]):
        assert path.split("/")[0] == "dist"
    for made in ("dist/tradewarden-*.whl", "scripts/healthcheck.py", "dist/requirements.txt"):
        assert made in recipe
    assert "uv build" in recipe


def test_it_starts_the_console_script(dockerfile: Path) -> None:
    """The image's command is `tradewarden serve`, the script that the package installs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    commands = [json.loads(argument) for name, argument in instructions(dockerfile) if name == "CMD"]
    assert commands == [["tradewarden", "serve"]]
    assert project["scripts"]["tradewarden"] == "tradewarden.cli:main"


def test_it_runs_without_root_on_a_pinned_base(dockerfile: Path) -> None:
    """The last stage has an unprivileged user, a volume, a health check; bases are exact tags."""
    steps = list(instructions(dockerfile))
    last = steps[max(index for index, (name, _) in enumerate(steps) if name == "FROM") :]
    found = dict(last)
    assert found["USER"].partition(":")[0] not in {"", "0", "root"}
    assert json.loads(found["VOLUME"]) == ["/app/cache/security"]
    assert "healthcheck.py" in found["HEALTHCHECK"]
    bases = [argument.split()[0] for name, argument in steps if name == "FROM"]
    assert set(bases) == {"${PYTHON_IMAGE}"}
    (default,) = [argument for name, argument in steps if name == "ARG"]
    assert re.fullmatch(r"PYTHON_IMAGE=python:3\.\d+\.\d+-slim-\w+(@sha256:[0-9a-f]{64})?", default)


def test_only_containers_listen_everywhere(dockerfile: Path) -> None:
    """The images set SERVICE_HOST=0.0.0.0, and nothing else that is shipped does."""
    assert "SERVICE_HOST=0.0.0.0" in dockerfile.read_text()
    for other in (ROOT / ".env.example", ROOT / "Makefile", *(ROOT / "scripts").iterdir()):
        assert other.is_dir() or "0.0.0.0" not in other.read_text()  # noqa: S104 - that is the point


@pytest.mark.parametrize(("status", "expected"), [(200, True), (503, False)])
def test_the_health_check_asks_the_service(status: int, expected: bool) -> None:
    """The health check succeeds when `/health/live` answers 200, and only then."""

    class Service(BaseHTTPRequestHandler):
        """Answers the one path."""

        def do_GET(self) -> None:
            """Answers with the status of this case."""
            self.send_response(status if self.path == "/health/live" else 404)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as above
            """Stays silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            assert healthcheck.alive(str(server.server_address[1])) is expected
        finally:
            server.shutdown()


def test_the_health_check_fails_without_a_service() -> None:
    """Nobody listening is not healthy."""
    assert not healthcheck.alive("1")
