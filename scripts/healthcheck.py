"""Container health check: succeeds when the service answers `/health/live`; no dependencies."""

from __future__ import annotations

import os
import ssl
import sys
import urllib.request

TIMEOUT_SECONDS = 3


def alive(port: str) -> bool:
    """Tells whether the service on this machine's `port` answers, over plain HTTP or TLS."""
    # The peer is this container itself; a check that needs the CA would fail before there is one.
    trust_loopback = ssl.create_default_context()
    trust_loopback.check_hostname = False
    trust_loopback.verify_mode = ssl.CERT_NONE
    # A proxy that the environment names must not answer in the service's place.
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust_loopback)
    )
    for scheme in ("http", "https"):
        try:
            with opener.open(f"{scheme}://127.0.0.1:{port}/health/live", timeout=TIMEOUT_SECONDS) as answer:
                return bool(answer.status == 200)  # noqa: PLR2004 - HTTP's own number
        except (OSError, ValueError):
            continue
    return False


if __name__ == "__main__":
    sys.exit(0 if alive(os.environ.get("SERVICE_PORT") or "8002") else 1)
