"""What this version must reach: how many times a peer's rate, and how much memory."""

from __future__ import annotations

from collections.abc import Mapping

from bench.side import Work

OURS = "Tradewarden"
OURS_TLS = "Tradewarden over TLS"
OPENBAO = "OpenBao"
OPENBAO_UNAUDITED = "OpenBao, audit off"
STEP_CA = "step-ca"

RATIOS: Mapping[tuple[Work, str], float] = {
    (Work.READ, OPENBAO): 3,
    (Work.WRITE, OPENBAO): 8,
    (Work.WRITE_MANY, OPENBAO): 8,
    (Work.VALIDATE, OPENBAO): 3,
    (Work.VALIDATE_MANY, OPENBAO): 3,
    (Work.ISSUE, OPENBAO): 2,
    (Work.ISSUE, STEP_CA): 2,
    (Work.SIGN, STEP_CA): 2,
}
WORKER_MB = 100.0

TITLES: Mapping[Work, str] = {
    Work.READ: "read a secret",
    Work.WRITE: "write a secret, durable",
    Work.WRITE_MANY: "write 1,000 secrets in turn, durable",
    Work.VALIDATE: "validate a token",
    Work.VALIDATE_MANY: "validate 1,000 tokens in turn",
    Work.ISSUE: "issue a certificate, P-256",
    Work.SIGN: "sign a request (CSR) over TLS",
}
