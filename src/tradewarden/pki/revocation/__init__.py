"""What tells the world that a certificate counts no more: revocation lists (CRL) and OCSP."""
