"""What the chain of providers costs a program: a cached read, a long listing, a cold start without a network."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import timeit
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path

from bench.compare import Tell
from bench.ours import Tradewarden
from bench.request import BenchError
from bench.result import Bound, Spread, spread
from bench.side import PATHS, secret_value, send_all
from tradewarden.secrets.chain.answer import Answer
from tradewarden.secrets.chain.chain import Chain
from tradewarden.secrets.providers.environment import EnvironmentProvider
from tradewarden.secrets.providers.files.files import SUFFIX, EncryptedFilesProvider
from tradewarden.secrets.providers.files.key import FilesKey
from tradewarden.secrets.providers.files.sealed import Kept, Record, seal
from tradewarden.secrets.providers.service import ServiceProvider

SECRETS = 10_000
CACHED_MICROSECONDS = 2.0
LISTED_SECONDS = 1.0
COLD_MILLISECONDS = 150.0
_NAME = "binance_credentials"
_CALLS = 20_000
_ROUNDS = 15
_STARTS = 11
_LISTINGS = 5
_KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
_COLD = """
import sys
from pathlib import Path
from tradewarden.secrets.chain.chain import Chain
from tradewarden.secrets.providers.environment import EnvironmentProvider
from tradewarden.secrets.providers.files.files import EncryptedFilesProvider
from tradewarden.secrets.providers.files.key import FilesKey

files = EncryptedFilesProvider(Path(sys.argv[1]), FilesKey.from_fernet(sys.argv[2]))
with Chain([EnvironmentProvider({}), files]) as chain:
    assert chain.get("binance_credentials").content
"""


def chain(side: Tradewarden, directory: Path, tell: Tell) -> list[Bound]:
    """Measure reads from the cache, listings of 10,000 secrets, and the start of a program."""
    bounds: list[Bound] = []
    for measured in (_cached(), _listed_files(directory / "many"), _listed_service(side), _cold(directory / "one")):
        bounds += measured
        for bound in measured:
            tell(f"chain         {bound.name:48} {bound.taken.median:9,.2f} {bound.unit}")
    return bounds


def _cached() -> Sequence[Bound]:
    held = {_NAME: {"api_key": "k" * 64, "api_secret": "s" * 64}}
    with Chain([_Memory(held)]) as chain:
        chain.get(_NAME)
        get, aget = chain.get, chain.aio.get
        read, awaited, looked_up = _timed(
            lambda: get(_NAME),
            lambda: _step(aget(_NAME)),
            lambda: held[_NAME],
        )
    beside = f"a dict look-up: {spread(looked_up).median:.2f} µs"
    return [
        Bound("read a cached secret", "µs", spread(read), CACHED_MICROSECONDS, beside),
        Bound("read a cached secret, await", "µs", spread(awaited), CACHED_MICROSECONDS, beside),
    ]


class _Memory(EnvironmentProvider):
    """Holds what it is given, as the variables of a process do."""

    def __init__(self, held: dict[str, dict[str, str]]) -> None:
        fields = [(name.split("_")[0], field, text) for name, each in held.items() for field, text in each.items()]
        super().__init__({f"ALPHAPULSE_{name}_{field}".upper(): text for name, field, text in fields})


def _step(coroutine: Coroutine[object, object, Answer]) -> Answer:
    """Take the only step of a coroutine that does not suspend."""
    try:
        coroutine.send(None)
    except StopIteration as ended:
        answer: Answer = ended.value
        return answer
    raise BenchError("a cached read suspended")


def _timed(*calls: Callable[[], object]) -> Sequence[Sequence[float]]:
    """Return microseconds a call for each, round by round, measured in turn."""
    rounds = [[timeit.timeit(call, number=_CALLS) / _CALLS * 1e6 for call in calls] for _ in range(_ROUNDS)]
    return list(zip(*rounds, strict=True))


def _listed_files(directory: Path) -> Sequence[Bound]:
    directory.mkdir(mode=0o700)
    key = FilesKey.from_fernet(_KEY)
    for number in range(SECRETS):  # without the provider, whose writes are durable one by one
        name = f"api_keys/{number:05d}"
        raw = seal(key, name, Record("00" * 4, (Kept(1, 0.0, b'{"api_key": "k"}'),)), os.urandom)
        (directory / f"{key.file_name(name)}{SUFFIX}").write_bytes(raw)
    with Chain([EncryptedFilesProvider(directory, key)]) as chain:
        return [Bound(f"list {SECRETS:,} secrets, encrypted files", "s", _listing(chain, "api_keys/"), LISTED_SECONDS)]


def _listed_service(side: Tradewarden) -> Sequence[Bound]:
    more = [
        side.admin_request("/secrets/store", {"path": f"bench/{number:05d}", "data": secret_value(number)})
        for number in range(PATHS, SECRETS)
    ]
    with side.client() as client:
        send_all(client, more)
    side.rest()
    with Chain([ServiceProvider(side.url, token=side.admin_token)]) as chain:
        return [
            Bound(f"list {SECRETS:,} secrets, Tradewarden over HTTP", "s", _listing(chain, "bench/"), LISTED_SECONDS)
        ]


def _listing(chain: Chain, prefix: str) -> Spread:
    taken = []
    for _ in range(_LISTINGS):
        began = time.perf_counter()
        found = len(chain.names(prefix))
        taken.append(time.perf_counter() - began)
        if found != SECRETS:
            raise BenchError(f"{found:,} secrets were listed, not {SECRETS:,}")
    return spread(taken)


def _cold(directory: Path) -> Sequence[Bound]:
    EncryptedFilesProvider(directory, FilesKey.from_fernet(_KEY)).put(_NAME, {"api_key": "k"})
    started = _starts(_COLD, str(directory), _KEY)
    beside = f"an empty program: {spread(_starts('pass')).median:.0f} ms"
    return [Bound("start, open environment and files, read one", "ms", spread(started), COLD_MILLISECONDS, beside)]


def _starts(program: str, *arguments: str) -> Sequence[float]:
    """Return the milliseconds of whole processes, the first (which reads from the disk) left out."""
    taken = []
    for _ in range(_STARTS + 1):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", program, *arguments], check=True)
        taken.append((time.perf_counter() - began) * 1e3)
    return taken[1:]
