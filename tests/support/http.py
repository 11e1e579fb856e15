"""A listener in the test's own loop, a supervised service as a real process, and plain sockets to talk to both.

As a program (`python -m tests.support.http PORT WORKERS [MODE]`) it is that service.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import functools
import logging
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ParamSpec
from urllib.parse import parse_qs

import msgspec
import uvloop
from starlette.types import ASGIApp, Receive, Scope, Send

from tradewarden.errors import ConfigurationError, StorageUnavailableError
from tradewarden.http import child, linux
from tradewarden.http.binding import Place
from tradewarden.http.head import ServerLimits
from tradewarden.http.listener import run, serve, stop_on_signals
from tradewarden.http.supervisor import supervise

P = ParamSpec("P")
PR_GET_DUMPABLE = 3  # prctl(2)
LINGERING_MICROSECONDS = 300_000
ROOT = Path(__file__).parents[2]
SECURITY = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))


class Answer(msgspec.Struct):
    """An answer as it came over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:  # noqa: ANN401 - whatever it is
        """Read the body as JSON."""
        return msgspec.json.decode(self.body)


def parse(raw: bytes) -> Answer:
    """Read one answer that ends with the data."""
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return Answer(int(first.split()[1]), headers, body)


async def answer_json(send: Send, body: object, status: int = 200) -> None:
    """Answer an ASGI request with JSON."""
    data = msgspec.json.encode(body)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(data)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": data})


async def read_body(receive: Receive) -> bytes | None:
    """Return the whole body, or None when the client went away."""
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += bytes(message["body"])
        if not message["more_body"]:
            return body


class Listening:
    """A running listener: where it is, and what it refused."""

    def __init__(self, port: int, stop: asyncio.Event, done: asyncio.Task[None]) -> None:
        self.port = port
        self.stop = stop
        self.done = done
        self.refused: list[str] = []

    async def raw(self, data: bytes, *, end: bool = False) -> bytes:
        """Send bytes as they are; return everything that comes until the server closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        if end:
            writer.write_eof()
        try:
            async with asyncio.timeout(10):
                return await reader.read()
        finally:
            writer.close()

    async def ask(self, data: bytes) -> Answer:
        """As `raw`, for a request that is answered once and then closed."""
        return parse(await self.raw(data))


@contextlib.asynccontextmanager
async def listening(
    app: ASGIApp, *, context: ssl.SSLContext | None = None, **limits: float
) -> AsyncIterator[Listening]:
    """Run a listener on a free port until the block ends."""
    listener = socket.create_server(("127.0.0.1", 0))
    stop = asyncio.Event()
    ready = asyncio.Event()
    refused: list[str] = []
    task = asyncio.create_task(
        serve(
            app,
            [listener],
            ServerLimits(**limits),  # type: ignore[arg-type]
            context,
            ready.set,
            stop,
            on_refused=lambda reason, address: refused.append(f"{reason} {address}"),
            headers=SECURITY,
        )
    )
    await ready.wait()
    here = Listening(listener.getsockname()[1], stop, task)
    here.refused = refused
    try:
        yield here
    finally:
        stop.set()
        await task
        listener.close()


def wait_for(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Return once the condition is true; fail when it does not become so in time."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise AssertionError("it did not happen in time")
        time.sleep(0.01)


async def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """As `wait_for`, in a loop."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)


def on_uvloop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test on the event loop that the service runs on."""

    @functools.wraps(test)
    def run_it(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(test(*args, **kwargs))

    return run_it


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def get(port: int, path: str, seconds: float = 10.0) -> Answer:
    """Ask a service once, on a connection of its own."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        data = b""
        while piece := connection.recv(65536):
            data += piece
    return parse(data)


class Supervised:
    """A supervised service as a process of its own."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process = process
        self.port = port

    def pids(self) -> dict[str, int]:
        """Return the processes by the name of their place, as far as they have told it by now."""
        found = {}
        for line in self.output.read_text().splitlines():
            if line.startswith("child "):
                _, name, pid = line.split()
                found[name] = int(pid)
        return found

    output: Path


@contextlib.contextmanager
def supervised(folder: Path, workers: int = 2, mode: str = "") -> Iterator[Supervised]:
    """Run this module as a service until the block ends; whatever is left of it is killed."""
    port = free_port()
    output = folder / "output"
    with output.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.http", str(port), str(workers), mode],
            cwd=ROOT,
            stdout=file,
            stderr=file,
            text=True,
        )
    service = Supervised(process, port)
    service.output = output
    try:
        yield service
    finally:
        for pid in {process.pid, *service.pids().values()}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()


def alive(pid: int) -> bool:
    """Tell whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class _Log:
    """The log of the program below: plain lines."""

    def info(self, event: str, /, **fields: object) -> None:
        say(f"info {event} {fields}")

    def error(self, event: str, /, **fields: object) -> None:
        say(f"error {event} {fields}")


def say(line: str) -> None:
    """Write one line at once, whole among several processes."""
    os.write(1, f"{line}\n".encode())


async def service_app(scope: Scope, receive: Receive, send: Send) -> None:
    """`/` tells its process, `/slow?seconds=` takes its time."""
    if scope["path"] == "/slow":
        say("slow begins")
        await asyncio.sleep(float(parse_qs(scope["query_string"].decode())["seconds"][0]))
    await answer_json(send, {"pid": os.getpid(), "nice": os.nice(0)})


def worker(mode: str, index: int, sockets: Sequence[Sequence[socket.socket]], ready: Callable[[], None]) -> None:
    """Serve, or misbehave as the mode says."""
    say(f"child worker-{index} {os.getpid()}")
    say(f"threads beside the fork {len([*Path(f'/proc/{os.getppid()}/task').iterdir()]) - 1}")
    if mode == "crash":
        raise RuntimeError("made up")
    if mode == "misconfigured" or hindered(mode, "configuration"):
        raise ConfigurationError("TRADEWARDEN_ROOT_KEY: made up")
    if hindered(mode, "storage"):
        raise StorageUnavailableError("made up")
    if hindered(mode, "disk"):
        raise ExceptionGroup("made up", [OSError(errno.ENOSPC, "made up")])
    if mode == "late":
        ready()
        raise OSError(errno.EIO, "made up")

    async def live() -> None:
        stop = asyncio.Event()
        stop_on_signals(stop)
        await serve(service_app, sockets[0], ServerLimits(shutdown_seconds=5), None, ready, stop)

    run(live())


def hindered(mode: str, what: str) -> bool:
    """Tell whether the mode names `what` and a file that is there now."""
    name, _, path = mode.partition(":")
    return name == what and Path(path).exists()


def fork_unless_hindered(mode: str, fork: Callable[[], int]) -> int:
    """Fork, or fail as where no process is to be had any more."""
    if hindered(mode, "fork"):
        raise BlockingIOError(errno.EAGAIN, "made up")
    return fork()


def clerk(ready: Callable[[], None]) -> None:
    """Wait for the end."""
    say(f"child clerk {os.getpid()}")
    say(f"clerk nice {os.nice(0)}")
    say(f"clerk dumpable {ctypes.CDLL(None).prctl(PR_GET_DUMPABLE, 0, 0, 0, 0)}")

    async def live() -> None:
        stop = asyncio.Event()
        stop_on_signals(stop)
        ready()
        await stop.wait()
        say("clerk ends")

    run(live())


def leave_lingering_thread() -> None:
    """End a thread that Python counts as gone at once, and the kernel when a library's clearing up for it is over."""
    library, key = ctypes.CDLL(None), ctypes.c_uint()
    library.pthread_key_create(ctypes.byref(key), library.usleep)
    thread = threading.Thread(target=library.pthread_setspecific, args=(key, ctypes.c_void_p(LINGERING_MICROSECONDS)))
    thread.start()
    thread.join()


def main() -> int:
    """Be the service; in the modes `kernel` and `portable` with one of the two ways only to die with the supervisor.

    In the mode `lingering` a thread of before has not quite ended when it starts; in `late` a worker fails once it is
    ready; `hindered` tells of the modes with a path.
    """
    port, workers, mode = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    logging.basicConfig(level=logging.WARNING)
    if mode == "portable":
        setattr(linux, "_prctl", lambda *_: None)  # noqa: B010 - mypy minds the plain form
    if mode == "kernel":
        setattr(child, "_end_with", lambda *_: None)  # noqa: B010 - as above
    if mode == "lingering":
        leave_lingering_thread()
    setattr(os, "fork", functools.partial(fork_unless_hindered, mode, os.fork))  # noqa: B010 - as above
    settings = SimpleNamespace(workers=workers, shutdown_seconds=5)
    places = [Place("127.0.0.1", port)]
    return supervise(settings, places, functools.partial(worker, mode), clerk, _Log(), lambda _ports: say("ready"))


if __name__ == "__main__":
    sys.exit(main())
