"""Profiles: what each gives, how long, and which are issued here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID as Use

from tests.support.pki import START, csr
from tests.support.rotation import Installation, certificates, issue
from tradewarden.errors import InvalidInputError

if TYPE_CHECKING:
    from pathlib import Path

_BOTH = {Use.CLIENT_AUTH, Use.SERVER_AUTH}
_NO_REV_AVAIL = "2.5.29.56"


@pytest.mark.parametrize(
    ("profile", "uses", "hours"),
    [
        ("service", _BOTH, 365 * 24),
        ("client", {Use.CLIENT_AUTH}, 365 * 24),
        ("server", {Use.SERVER_AUTH}, 365 * 24),
        ("short-lived", _BOTH, 24),
    ],
)
async def test_a_profile_gives_its_uses_and_time(tmp_path: Path, profile: str, uses: set[object], hours: int) -> None:
    """The extended key usage is the profile's, and so is the longest life."""
    home = await Installation.make(tmp_path / "data")
    authority = await home.start(first=True)
    made = await issue(authority, profile=profile)
    leaf = certificates(made.certificate)[0]
    assert set(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == uses
    assert made.expires_at == START + hours * 3600
    with pytest.raises(InvalidInputError, match="ttl_hours"):
        await issue(authority, profile=profile, ttl_hours=hours + 1)
    await authority.close()


@pytest.mark.parametrize(("profile", "points"), [("service", True), ("short-lived", False)])
async def test_a_short_lived_certificate_points_to_no_revocation(tmp_path: Path, profile: str, points: bool) -> None:
    """It says so instead (RFC 9608); others point to their list and responder."""
    home = await Installation.make(tmp_path / "data", public_url="https://w.example")
    authority = await home.start(first=True)
    leaf = certificates((await issue(authority, profile=profile)).certificate)[0]
    found = {extension.oid.dotted_string for extension in leaf.extensions}
    assert (x509.CRLDistributionPoints.oid.dotted_string in found) is points
    assert (x509.AuthorityInformationAccess.oid.dotted_string in found) is points
    assert (_NO_REV_AVAIL in found) is not points
    await authority.close()


async def test_a_request_gets_no_use_beyond_its_profile(tmp_path: Path) -> None:
    """A CSR that asks for serverAuth is refused under the client's profile."""
    home = await Installation.make(tmp_path / "data")
    authority = await home.start(first=True)
    asks = csr(extensions=(x509.ExtendedKeyUsage([Use.SERVER_AUTH]),))
    await issue(authority, csr=asks, profile="server")
    with pytest.raises(InvalidInputError, match="extended key usage"):
        await issue(authority, csr=asks, profile="client")
    await authority.close()


@pytest.mark.parametrize("profile", ["issuing", "root", "", "server"])
async def test_only_allowed_profiles_are_issued(tmp_path: Path, profile: str) -> None:
    """A CA's profile, an unknown one and one that the policy leaves out are refused with the list of those given."""
    home = await Installation.make(tmp_path / "data", profiles=("service", "short-lived"))
    authority = await home.start(first=True)
    with pytest.raises(InvalidInputError, match="profile must be one of service, short-lived"):
        await issue(authority, profile=profile)
    await authority.close()
