"""What is recorded of a walk: one access for each provider that was asked, of which one ends the call. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tradewarden.secrets.chain.access import Access, Outcome
from tradewarden.secrets.chain.decision import Said, way_of
from tradewarden.secrets.naming import kind_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tradewarden.secrets.chain.answer import Answer
    from tradewarden.secrets.chain.walk import Verdict


def accesses(name: str, verdict: Verdict, before: Answer | None, answer: Answer | None, at: float) -> Iterator[Access]:
    """Yield the accesses of one walk; `before` is the value known until now, `answer` what is given."""
    kind, decided = kind_of(name), _decided(verdict)
    stale = verdict.last_known and answer is not None and answer.stale
    for position, finding in enumerate(verdict.findings):
        final = position == decided and not stale
        others = way_of([f for f in verdict.findings if f is not finding]) if final else ""
        yield Access(
            name=name,
            provider=finding.provider,
            outcome=_given(verdict, before, answer) if finding.said is Said.FOUND else Outcome(finding.said.value),
            kind=kind,
            at=at,
            reason="; ".join(filter(None, (finding.reason, others))),
            final=final,
        )
    if stale:
        asked = verdict.findings[-1]
        way = way_of(verdict.findings)
        yield Access(name=name, provider=asked.provider, outcome=Outcome.STALE, kind=kind, at=at, reason=way)


def _decided(verdict: Verdict) -> int:
    """Return which finding ended the call: the last, or the first unreachable one when the rest had nothing."""
    nothing = verdict.findings[-1].said is Said.NOT_FOUND
    return verdict.unreachable if nothing and verdict.unreachable is not None else len(verdict.findings) - 1


def _given(verdict: Verdict, before: Answer | None, answer: Answer | None) -> Outcome:
    if verdict.unreachable is not None:
        return Outcome.FELL_THROUGH
    if before is None or answer is None:
        return Outcome.FOUND
    return Outcome.REFRESHED if before.same(answer) else Outcome.CHANGED
