"""The certificate authority: root and issuing CA, service certificates, inventory, revocation, CRL (RFC 5280).

Always true here: a certificate is built, signed, and validated again from its own bytes before anyone sees it; its row
and its audit entry stand in one transaction before it leaves; a private key is never stored with it. The root's key is
needed to make an issuing CA and for nothing else, so it can be kept elsewhere.

Left for later, each with its place: the mTLS listener (asks `Authority.is_revoked`), renewal (reads the inventory in
the order of its ends), OCSP (answers from the same rows), keys in hardware (an `Issuer` takes any private key object),
a new issuing CA before the old one ends (certificates, revocations and CRLs already carry their issuer), the root's
own CRL.
"""
