"""`python -m bench`: measure what this version must reach, print the tables, and write them as JSON."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

import msgspec

from bench import machine, memory, target, wrk
from bench.compare import Entrant, Plan, compare
from bench.options import CRYPTO, Options, parse
from bench.ours import Tradewarden
from bench.peers import openbao, stepca
from bench.request import BenchError
from bench.result import Results
from bench.side import Side, Work
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
    if options.works and not wrk.available():
        raise BenchError("wrk is not installed (Debian, Ubuntu: apt-get install wrk)")
    # Beside the data of `make run`: a temporary directory may be in memory, where nothing is durable.
    (_ROOT / "cache").mkdir(exist_ok=True)
    with ExitStack() as stack:
        made = tempfile.TemporaryDirectory(prefix="bench-", dir=_ROOT / "cache", ignore_cleanup_errors=True)
        directory = Path(stack.enter_context(made))
        binaries, notes = _binaries(options)
        facts = machine.facts(directory, binaries)
        plan = Plan(options.runs, options.seconds, directory)
        sides = _start(options, binaries, directory, stack) if options.works else {}
        entrants = _entrants(sides, audit_off=options.audit_off)
        return Results(
            command=shlex.join(["python", "-m", "bench", *arguments]),
            machine=facts,
            notes=[*notes, *_NOTES] if sides else notes,
            comparisons=[compare(work, entrants, plan, _tell) for work in options.works],
            memory={name: memory.at_rest(side.session) for name, side in sides.items()},
            timings=timings() if CRYPTO in options.only else (),
        )


_NOTES = (
    f"wrk -t1 -c{wrk.CONNECTIONS}, keep-alive, on the same machine. Medians of the runs, least and most in brackets.",
    "A ratio is the median of each run divided by its neighbour's. A run with one failed answer does not count.",
    "OpenBao: raft storage, file audit device, root token: it skips policies and leases, so it is the fastest.",
    "OpenBao, many tokens in turn: ordinary service tokens, as they cannot all be the root token.",
    "step-ca signs a certificate request over TLS for a one-time token; the others make the key, over HTTP.",
)


def _binaries(options: Options) -> tuple[Mapping[str, Path], Sequence[str]]:
    """Return the peers that the environment names, and a sentence for each that it does not."""
    binaries: dict[str, Path] = {}
    notes: list[str] = []
    for name, variable in ((target.OPENBAO, openbao.VARIABLE), (target.STEP_CA, stepca.VARIABLE)):
        if not options.works or name not in options.sides:
            continue
        if not os.environ.get(variable):
            notes.append(f"{name} was not measured: {variable} names no binary.")
            continue
        binaries[name] = Path(os.environ[variable]).absolute()
        if not os.access(binaries[name], os.X_OK):
            raise BenchError(f"{variable}: {binaries[name]} is not a program")
    return binaries, notes


def _start(options: Options, binaries: Mapping[str, Path], directory: Path, stack: ExitStack) -> Mapping[str, Side]:
    """Start ours and the peers, one after the other; all of them end with `stack`."""
    sides: dict[str, Side] = {}
    for name in options.sides:
        if name != target.OURS and name not in binaries:
            continue
        _tell(f"starting {name}")
        own = directory / name
        own.mkdir()
        sides[name] = side = _started(name, binaries, own)
        stack.callback(side.stop)
    return sides


def _started(name: str, binaries: Mapping[str, Path], directory: Path) -> Side:
    if name == target.OPENBAO:
        return openbao.OpenBao(binaries[name], directory)
    if name == target.STEP_CA:
        return stepca.StepCa(binaries[name], directory)
    return Tradewarden(directory)


def _entrants(sides: Mapping[str, Side], *, audit_off: bool) -> Sequence[Entrant]:
    """Return who is measured, in turn; OpenBao a second time with its audit device off."""
    entrants: list[Entrant] = []
    for name, side in sides.items():
        if not isinstance(side, openbao.OpenBao):
            entrants.append(Entrant(name, side, side.works))
            continue
        entrants.append(Entrant(name, side, side.works, side.audit_on))
        if audit_off:
            works = side.works - {Work.VALIDATE_MANY}
            entrants.append(Entrant(target.OPENBAO_UNAUDITED, side, works, side.audit_off))
    return entrants


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
