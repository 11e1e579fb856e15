"""`python -m bench`: measure what this version must reach, print the tables, and write them as JSON."""

from __future__ import annotations

import shlex
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

import msgspec

from bench import machine, memory, wrk
from bench.chain import chain
from bench.compare import Plan, compare
from bench.entrants import entrants, notes, peers, start
from bench.growth import growth
from bench.options import CHAIN, CRYPTO, GROWTH, Options, parse
from bench.ours import Tradewarden
from bench.request import BenchError
from bench.result import Bound, Results, Stage
from bench.table import report
from bench.timings import timings

_ROOT = Path(__file__).parent.parent


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark; 0 when every measurement counts, met or not, and 1 when one failed."""
    options = parse(arguments)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    try:
        results = _read(options.show) if options.show else _measure(options, arguments)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    if not options.show:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(results)))
    print(report(results, markdown=options.markdown))
    return 0 if results.complete else 1


def _leave(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - as signal.signal calls it
    """End through the context managers, which end the services."""
    sys.exit(128 + number)


def _read(path: Path) -> Results:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Results)
    except (OSError, msgspec.DecodeError) as error:
        raise BenchError(f"{path} holds no results: {error}") from error


def _measure(options: Options, arguments: Sequence[str]) -> Results:
    if (options.works or GROWTH in options.only) and not wrk.available():
        raise BenchError("wrk is not installed (Debian, Ubuntu: apt-get install wrk)")
    # Beside the data of `make run`: a temporary directory may be in memory, where nothing is durable.
    (_ROOT / "cache").mkdir(exist_ok=True)
    with ExitStack() as stack:
        made = tempfile.TemporaryDirectory(prefix="bench-", dir=_ROOT / "cache", ignore_cleanup_errors=True)
        directory = Path(stack.enter_context(made))
        binaries, missing = peers(options)
        busy = machine.busy()
        facts = machine.facts(directory, binaries)
        plan = Plan(options.runs, options.seconds, directory)
        sides = start(options.services, binaries, directory, stack, _tell) if options.works else {}
        grown = _growth(directory) if GROWTH in options.only else ()
        bounds = _chain(directory) if CHAIN in options.only else ()
        field = entrants(sides, audit_off=options.audit_off)
        return Results(
            command=shlex.join(["python", "-m", "bench", *arguments]),
            machine=facts,
            notes=[*missing, *busy, *notes(sides)],
            comparisons=[compare(work, field, plan, _tell) for work in options.works],
            memory={name: memory.at_rest(side.session) for name, side in sides.items()},
            timings=timings() if CRYPTO in options.only else (),
            growth=grown,
            bounds=bounds,
        )


def _growth(directory: Path) -> Sequence[Stage]:
    own = directory / GROWTH
    own.mkdir()
    side = Tradewarden(own, unlimited=True)
    try:
        return growth(side, own, _tell)
    finally:
        side.stop()


def _chain(directory: Path) -> Sequence[Bound]:
    own = directory / CHAIN
    own.mkdir()
    side = Tradewarden(own)
    try:
        return chain(side, own, _tell)
    finally:
        side.stop()


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
