"""One service on trial for all tests here that only talk to it."""

from tests.support.trial import admin, trial

__all__ = ["admin", "trial"]
