"""Who takes part: our service, and each peer whose binary the environment names."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from bench import target, wrk
from bench.compare import Entrant, Tell
from bench.options import Options
from bench.ours import WORKERS, Tradewarden
from bench.peers import openbao, stepca
from bench.request import BenchError
from bench.side import Side, Work

_OWN = (target.OURS, target.OURS_TLS)
_METHOD = (
    f"wrk -t1 -c{wrk.CONNECTIONS}, keep-alive, same machine. Medians of the runs, least and most in brackets.",
    "A ratio is the median of each run divided by its neighbour's. A run with one failed answer does not count.",
    "To write a secret, all connections write the same one. Of 1,000 in turn OpenBao makes several durable at once.",
)
_SIDES = {
    target.OURS: (f"Tradewarden: as `tradewarden serve` starts it in development, {WORKERS} workers, audit on.",),
    target.OURS_TLS: ("Tradewarden over TLS: the same with TRADEWARDEN_TLS_CERT and _KEY, TLS 1.3.",),
    target.OPENBAO: (
        "OpenBao: raft storage, file audit device, root token: it skips policies and leases, so it is the fastest.",
        "OpenBao, many tokens in turn: ordinary service tokens, as they cannot all be the root token.",
    ),
    target.STEP_CA: (
        "step-ca signs a certificate request over TLS for a one-time token, in both works.",
        "To issue, the others make the key and answer over HTTP; to sign, ours does what step-ca does.",
    ),
}


def peers(options: Options) -> tuple[Mapping[str, Path], Sequence[str]]:
    """Return the peers that the environment names, and a sentence for each that it does not."""
    binaries: dict[str, Path] = {}
    missing: list[str] = []
    for name, variable in ((target.OPENBAO, openbao.VARIABLE), (target.STEP_CA, stepca.VARIABLE)):
        if not options.works or name not in options.sides:
            continue
        if not os.environ.get(variable):
            missing.append(f"{name} was not measured: {variable} names no binary.")
            continue
        binaries[name] = Path(os.environ[variable]).absolute()
        if not os.access(binaries[name], os.X_OK):
            raise BenchError(f"{variable}: {binaries[name]} is not a program")
    return binaries, missing


def start(
    names: Sequence[str], binaries: Mapping[str, Path], directory: Path, stack: ExitStack, tell: Tell
) -> Mapping[str, Side]:
    """Start ours and the peers that have a binary, one after the other; all of them end with `stack`."""
    sides: dict[str, Side] = {}
    for name in names:
        if name not in _OWN and name not in binaries:
            continue
        tell(f"starting {name}")
        own = directory / name
        own.mkdir()
        sides[name] = side = _started(name, binaries, own)
        stack.callback(side.stop)
    return sides


def notes(sides: Mapping[str, Side]) -> Sequence[str]:
    """Return how the sides were measured and set up, a sentence each; nothing when none was."""
    return [*_METHOD, *(note for name in sides for note in _SIDES[name])] if sides else []


def _started(name: str, binaries: Mapping[str, Path], directory: Path) -> Side:
    if name == target.OPENBAO:
        return openbao.OpenBao(binaries[name], directory)
    if name == target.STEP_CA:
        return stepca.StepCa(binaries[name], directory)
    return Tradewarden(directory, tls=name == target.OURS_TLS)


def entrants(sides: Mapping[str, Side], *, audit_off: bool) -> Sequence[Entrant]:
    """Return who is measured, in turn; OpenBao a second time with its audit device off."""
    field: list[Entrant] = []
    for name, side in sides.items():
        if not isinstance(side, openbao.OpenBao):
            field.append(Entrant(target.OURS if name in _OWN else name, side, side.works))
            continue
        field.append(Entrant(name, side, side.works, side.audit_on))
        if audit_off:
            works = side.works - {Work.VALIDATE_MANY}
            field.append(Entrant(target.OPENBAO_UNAUDITED, side, works, side.audit_off))
    return field
