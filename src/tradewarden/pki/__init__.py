"""The certificate authority: root and issuing CA, service certificates, inventory, revocation, CRL (RFC 5280).

Always true here: a certificate is built, signed, and validated again from its own bytes before anyone sees it; its row
and its audit entry stand in one transaction before it leaves; a private key is never stored with it. The root's key is
needed to make an issuing CA, to change the root and for the root's own CRL, so it can be kept elsewhere.

The CAs and their rotation: `store` (rows) → `authorities` (what stands) → `custody` (files, keys) → `rotation` (plans)
→ `rotating` (carried out) → `succession` (what this process holds). `founding` is the first start.

Services come to `authority`, ACME's orders to `registration`; both hold names against `allowance` and certify by
`certifying`.
"""
