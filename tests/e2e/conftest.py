"""One service on trial for all tests here that only talk to it."""

from tests.support.trial import admin, ledger, stranger, trial

__all__ = ["admin", "ledger", "stranger", "trial"]
