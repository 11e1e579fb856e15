"""What keys are for. One random key a purpose and version; every use derives its own from it."""

from __future__ import annotations

from enum import StrEnum


class Purpose(StrEnum):
    """A purpose key's name; it stands in derivation labels and in stored rows, so it never changes."""

    SECRETS = "secrets"
    FIELDS = "fields"
    AUDIT = "audit"
    CA = "ca"
    TOKENS = "tokens"
    IDENTITY = "identity"
