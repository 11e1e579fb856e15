"""What a service uses to keep its own certificate: enrol, renew, replace as a whole, hand out live TLS contexts.

This room runs in the services that call Tradewarden, not in Tradewarden: it knows the service by its HTTP interface
alone. A private key never leaves the host; only its CSR does.
"""
