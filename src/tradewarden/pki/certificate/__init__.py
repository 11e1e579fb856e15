"""What a certificate is made of: keys and algorithms, names, profiles, requests, DER, and the CA that signs."""
