"""Rotations as plans: which CAs are made and which rows change, from what stands.

Always true here: a plan makes keys and signs, and nothing it made counts before all of its rows are committed together.
The issuing CA that a rotation makes active has the key that was prepared ahead, so that a published pin set holds
through the rotation; it works once without the root's key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cryptography import x509
from msgspec.structs import replace

from tradewarden.errors import ConflictError, TradewardenError
from tradewarden.pki.cas.ending import minute, way_on
from tradewarden.pki.cas.making import MadeCa
from tradewarden.pki.store import AuthorityRow, Role, Standing

if TYPE_CHECKING:
    from tradewarden.pki.cas.authorities import Authorities, Ca
    from tradewarden.pki.cas.custody import Custody
    from tradewarden.pki.cas.making import CaMaker
    from tradewarden.pki.certificate.issuer import Issuer

_WORTH_SECONDS = 30 * 86_400
"""An issuing CA that ends so little later is not worth a rotation by itself: its root is what is ending."""
_BELOW_CROSS = 2
"""How many CAs stand below a root that certifies another root: that one, and its issuing CA."""


class Plan(NamedTuple):
    """What a rotation changes: new CAs, and rows of old ones as they will be."""

    made: list[MadeCa]
    changed: list[AuthorityRow]


class Planner:
    """Plans over the CAs as they stand at `now` (seconds since the epoch). May block: keys are made and read."""

    def __init__(self, known: Authorities, custody: Custody, maker: CaMaker, now: float) -> None:
        self._known = known
        self._custody = custody
        self._maker = maker
        self._now = now

    # -- the issuing CA --------------------------------------------------------------------------

    def issuing(self, *, compromised: bool) -> Plan:
        """Make the prepared issuing CA the active one and prepare another; below a new root, announced or not.

        Raises `ConflictError` naming the root's key when it is needed and away: when none is prepared; and naming the
        rotation of the root when that has ended.
        """
        known = self._known
        root = known.trusted[-1]
        if root.ends <= self._now:
            raise ConflictError(
                f"The root CA ended on {minute(root.ends)}, so no issuing CA can stand under it; {way_on(known)}"
            )
        if known.issuing.fingerprint == known.root.fingerprint:
            raise ConflictError(
                "The CA that was brought along issues by itself, because its path length allows no CA below it;"
                " it cannot be rotated here"
            )
        plan = self._below_newest()
        return self._without_others(plan) if compromised else plan

    def _without_others(self, plan: Plan) -> Plan:
        """Revoke every issuing CA that lives but the one that takes over: their keys lay where the lost one lay.

        That is the active one, the retired ones, and each other certificate of their keys: a CA that was announced
        under an old root has one there. What the key that takes over has stays.
        """
        rows = [*plan.changed, *(ca.row for ca in plan.made)]
        kept = {row.key for row in rows if row.role is Role.ISSUING and row.state is Standing.ACTIVE}
        lost = [ca for ca in self._known.of(Role.ISSUING) if ca.row.key not in kept and self._lives(ca)]
        return self._revoking(plan, lost)

    def _revoking(self, plan: Plan, lost: list[Ca]) -> Plan:
        names = {ca.fingerprint for ca in lost}
        others = [row for row in plan.changed if row.fingerprint not in names]
        revoked = [replace(ca.row, state=Standing.REVOKED, ended_at=self._now) for ca in lost]
        return Plan(plan.made, [*others, *revoked])

    def prepare(self) -> Plan | None:
        """Prepare the next issuing CA when there is none, and the root's key is here."""
        above = self._above() if self.lacks_next() else None
        return None if above is None else Plan([self._next(above)], [])

    def _below_newest(self) -> Plan:
        """Issue below the newest root from now on: by what is prepared there, else by what its key certifies now."""
        root, above, prepared = self._known.trusted[-1], self._above(), self._prepared()
        if prepared is None or prepared.row.issuer != root.fingerprint:
            return self._under(above or self._custody.signer(root))
        promoted = replace(prepared.row, state=Standing.ACTIVE, active_from=self._now)
        following = [] if above is None else [self._next(above)]
        return Plan(following, [self._ended(self._known.issuing), promoted])

    def _under(self, above: Issuer) -> Plan:
        """Certify the prepared key (or a new one) under `above` as the active issuing CA, and prepare another."""
        active, changed = self._certified(above, Standing.ACTIVE)
        return Plan([active, self._next(above)], [self._ended(self._known.issuing), *changed])

    def _certified(self, above: Issuer, state: Standing) -> tuple[MadeCa, list[AuthorityRow]]:
        """Certify the prepared key (or a new one) under `above`; return the row of what was prepared, too, as ended."""
        prepared, ahead = self._prepared(), self._known.next_issuing
        ended = [] if ahead is None else [self._ended(ahead)]
        if prepared is not None:
            return self._maker.anew(above, prepared, state), ended
        return self._maker.issuing(above, self._maker.key(Role.ISSUING), state), ended

    def _next(self, above: Issuer) -> MadeCa:
        return self._maker.issuing(above, self._maker.key(Role.ISSUING), Standing.NEXT)

    def _above(self) -> Issuer | None:
        """Return the newest trusted root when its key is here: what an older one certified would end with it."""
        return self._custody.signer(self._known.trusted[-1]) if self._signs() else None

    def _signs(self) -> bool:
        """Tell whether the newest trusted root can sign: its key is here, and it has not ended."""
        root = self._known.trusted[-1]
        return root.ends > self._now and self._custody.is_here(root)

    def _prepared(self) -> Ca | None:
        """Return the prepared issuing CA when it is valid now (a wrong clock may have made it) and its key is here."""
        prepared = self._known.next_issuing
        if prepared is None or not prepared.starts <= self._now < prepared.ends or not self._custody.is_here(prepared):
            return None
        try:
            self._custody.keys.load(prepared.row.key, prepared.certificate)
        except TradewardenError:
            return None
        return prepared

    def _ended(self, ca: Ca) -> AuthorityRow:
        return replace(ca.row, state=Standing.RETIRED, ended_at=self._now)

    # -- the root --------------------------------------------------------------------------------

    def root(self) -> Plan:
        """Make a new root beside the old one, each certified by the other, and an issuing CA under it.

        That one issues at once, or as soon as the new root was announced for long enough. An old root that has ended
        certifies nothing, and needs no key: the new one takes its place at once. Raises `ConflictError` when a rotation
        is under way, or naming the old root's key when that is needed and away.
        """
        known = self._known
        if known.next_root is not None:
            raise ConflictError("A rotation of the root CA is under way; finish it first (ca rotate root --finish)")
        if known.root.ends <= self._now:
            return self._replaced()
        if not certifies_roots(known.root):
            raise ConflictError(
                "The CA that was brought along allows too few CAs below it (path length) to certify another root;"
                " clients could not follow"
            )
        old = self._custody.signer(known.root)
        made = self._maker.key(Role.ROOT)
        new = self._maker.root(made, Standing.NEXT)
        above = self._custody.above(new.certificate, made.key)
        crosses = [self._maker.cross(old, new.certificate), self._maker.cross(above, known.root.certificate)]
        if self._custody.policy.announce_seconds:
            prepared, changed = self._certified(above, Standing.NEXT)
            return Plan([new, *crosses, prepared], changed)
        issuing = self._under(above)
        return Plan([new, *crosses, *issuing.made], issuing.changed)

    def compromised_root(self) -> Plan:
        """Replace the root at once: it, and every issuing CA below it, counts for nothing any more.

        In the middle of a rotation the new root takes over; otherwise every client must be given the new one.
        """
        known = self._known
        if known.next_root is None:
            plan, lost = self._replaced(), list(known.all)
        else:
            plan, name, key = self.finish(), known.root.fingerprint, known.root.certificate.public_key()
            # the old root, what it signed, and the new root's word for its key
            lost = [ca for ca in known.all if ca.row.issuer == name or ca.certificate.public_key() == key]
        return self._revoking(plan, [ca for ca in lost if self._lives(ca)])

    def _replaced(self) -> Plan:
        """Put a new root in the old one's place. Nothing leads from one to the other: clients must be given it."""
        key = self._maker.key(Role.ROOT)
        new = self._maker.root(key, Standing.ACTIVE)
        made, changed = self._under(self._custody.above(new.certificate, key.key))
        return Plan([new, *made], [*changed, self._ended(self._known.root)])

    def finish(self) -> Plan:
        """End the overlap: the new root alone is trusted. Raises `ConflictError` when no rotation is under way."""
        known = self._known
        if known.next_root is None:
            raise ConflictError("No rotation of the root CA is under way")
        crosses = [ca for ca in known.of(Role.CROSS) if ca.row.state is Standing.ACTIVE]
        active = replace(known.next_root.row, state=Standing.ACTIVE, active_from=self._now)
        moved = Plan([], []) if self._issues_below(known.next_root) else self._below_newest()
        return Plan(moved.made, [active, *moved.changed, *(self._ended(ca) for ca in (known.root, *crosses))])

    def _issues_below(self, root: Ca) -> bool:
        return self._known.issuing.row.issuer == root.fingerprint

    def _lives(self, ca: Ca) -> bool:
        retired = ca.row.state is Standing.RETIRED
        return ca.row.state is not Standing.REVOKED and (not retired or ca.ends > self._now)

    # -- by itself -------------------------------------------------------------------------------

    def root_is_known(self) -> bool:
        """Tell whether a new root was announced for long enough, nothing is issued below it yet, and it can be."""
        new = self._known.next_root
        if new is None or self._issues_below(new):
            return False
        if self._now < min(new.row.created_at + self._custody.policy.announce_seconds, self._known.root.ends):
            return False
        prepared = self._prepared()
        return self._custody.is_here(new) or (prepared is not None and prepared.row.issuer == new.fingerprint)

    def below_new_root(self) -> Plan | None:
        """Issue below the new root from now on."""
        return None if self._known.next_root is None else self._below_newest()

    def lacks_next(self) -> bool:
        """Tell whether no issuing CA is prepared, and one can be."""
        known = self._known
        alone = known.issuing.fingerprint == known.root.fingerprint and known.next_root is None
        return known.next_issuing is None and not alone and self._signs()

    def due(self) -> bool:
        """Tell whether the issuing CA's time for a rotation has come and a rotation would give a longer life.

        Once it has ended, any life is longer.
        """
        known = self._known
        announced = known.next_root is not None and not self._issues_below(known.next_root)
        if announced or self._now < known.issuing.ageing:
            return False
        needed = known.issuing.ends + _WORTH_SECONDS if known.issuing.ends > self._now else self._now
        root = known.trusted[-1]
        above = [root.ends] if self._custody.is_here(root) else []
        ahead = [known.next_issuing.ends] if known.next_issuing else []
        return max([*above, *ahead], default=0) > needed

    def overlap_is_over(self, seconds: float) -> bool:
        """Tell whether two roots were trusted for that long, or the old one has ended: nobody can trust it any more."""
        old, new = self._known.root, self._known.next_root
        return new is not None and (self._now >= new.row.created_at + seconds or old.ends <= self._now)


def certifies_roots(root: Ca) -> bool:
    """Tell whether a root's path length leaves room for another root below it, and that one's issuing CA."""
    length = root.certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length
    return length is None or length >= _BELOW_CROSS
