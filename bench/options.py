"""The command line of `python -m bench`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from bench.side import Work
from bench.target import OPENBAO, OURS, OURS_TLS, STEP_CA

CRYPTO = "crypto"
"""The name of the group that is timed in process."""
GROWTH = "growth"
"""The name of the measurement over a growing inventory of certificates; only when asked for."""
CHAIN = "chain"
"""The name of what a program's own chain of providers costs."""
_USUAL = (*(work.value for work in Work), CRYPTO, CHAIN)
_GROUPS = (*_USUAL, GROWTH)
_SIDES = {"ours": OURS, "openbao": OPENBAO, "step-ca": STEP_CA}
_RESULTS = Path(__file__).parent / "results.json"


class Options(msgspec.Struct, frozen=True):
    """What was asked for."""

    only: Sequence[str]
    sides: Sequence[str]
    seconds: int
    runs: int
    audit_off: bool
    json: Path
    markdown: bool
    show: Path | None

    @property
    def works(self) -> Sequence[Work]:
        """The works that need running services."""
        return [work for work in Work if work in self.only]

    @property
    def services(self) -> Sequence[str]:
        """The services that the works need; ours a second time for the one that goes over TLS."""
        tls = [OURS_TLS] if OURS in self.sides and Work.SIGN in self.only else []
        return [*tls, *self.sides]


def parse(arguments: Sequence[str]) -> Options:
    """Read the command line; ends the process with a message and status 2 when it is wrong."""
    given = _parser().parse_args(arguments)
    seconds, runs = (2, 1) if given.quick else (8, 3)
    return Options(
        only=given.only,
        sides=[_SIDES[name] for name in given.sides],
        seconds=given.seconds or seconds,
        runs=given.runs or runs,
        audit_off=not given.quick,
        json=given.json,
        markdown=given.markdown,
        show=given.show,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure the service under load, beside OpenBao and step-ca where BAO and STEP_CA name "
        "their binaries. Prints tables with medians and what must be reached.",
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="one run of 2 s each: a smoke test, not a measurement")
    add("--only", type=_some(_GROUPS), default=_USUAL, metavar="NAME,…", help=", ".join(_GROUPS))
    add("--sides", type=_some(tuple(_SIDES)), default=tuple(_SIDES), metavar="NAME,…", help=", ".join(_SIDES))
    add("--seconds", type=_positive, help="length of a run (8)")
    add("--runs", type=_positive, help="runs of each side (3)")
    add("--json", type=Path, default=_RESULTS, metavar="FILE", help="where to write (bench/results.json)")
    add("--markdown", action="store_true", help="print the tables as Markdown")
    add("--show", type=Path, metavar="FILE", help="measure nothing: print what an earlier run wrote")
    return parser


def _some(names: Sequence[str]) -> Callable[[str], Sequence[str]]:
    """Return a reader of comma-separated names that keeps the given order of `names`."""

    def read(text: str) -> Sequence[str]:
        asked = {name.strip() for name in text.split(",")}
        if unknown := asked - set(names):
            wrong = ", ".join(sorted(unknown))
            raise argparse.ArgumentTypeError(f"{wrong!r}: choose from {', '.join(names)}")
        return [name for name in names if name in asked]

    return read


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number
