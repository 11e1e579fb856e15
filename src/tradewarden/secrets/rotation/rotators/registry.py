"""The rotators that there are, by the name that a policy gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tradewarden.secrets.rotation.rotators.exchange import ExchangeRotator
from tradewarden.secrets.rotation.rotators.postgres import PostgresRotator
from tradewarden.secrets.rotation.rotators.random import RandomRotator
from tradewarden.secrets.rotation.rotators.service_token import ClientSecretRotator, ServiceTokenRotator

if TYPE_CHECKING:
    from tradewarden.clock import Clock, Randomness
    from tradewarden.secrets.rotation.rotator import Rotator
    from tradewarden.secrets.rotation.rotators.outbound import Outbound
    from tradewarden.secrets.rotation.rotators.own import OwnServices


def rotators(outbound: Outbound, own: OwnServices, clock: Clock, randomness: Randomness) -> dict[str, Rotator]:
    """Return one of each. `outbound` says where they may connect to, `own` acts for Tradewarden's own services."""
    made: tuple[Rotator, ...] = (
        RandomRotator(randomness),
        PostgresRotator(outbound, randomness),
        ServiceTokenRotator(own, clock),
        ClientSecretRotator(own),
        ExchangeRotator(outbound),
    )
    return {each.kind: each for each in made}
