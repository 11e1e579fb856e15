"""The interactive documentation: Swagger UI from the packaged assets, under a policy that lets nothing else in.

No CDN, no file by a caller's name: three names, nothing more. The files (1.7 MB) are read on the first request.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from typing import TYPE_CHECKING, Final

from tradewarden.errors import UnknownRouteError
from tradewarden.http.route import Content

if TYPE_CHECKING:
    from pathlib import Path

_ASSETS: Final = {
    "swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
}
_SCRIPT: Final = """
SwaggerUIBundle({url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null,
  queryConfigEnabled: false, persistAuthorization: false, presets: [SwaggerUIBundle.presets.apis]});
"""
_PAGE: Final = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Tradewarden API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<noscript>This page needs JavaScript; <a href="/openapi.json">/openapi.json</a> says the same.</noscript>
<script src="/docs/swagger-ui-bundle.js"></script>
<script>{_SCRIPT}</script>
</body>
</html>
"""


@cache
def page() -> Content:
    """Return the page, `GET /docs`, with a policy of its own: the one inline script is named by its hash."""
    digest = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'self' 'sha256-{digest}'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    headers = ((b"content-security-policy", policy.encode()),)
    return Content(_PAGE.encode(), "text/html; charset=utf-8", headers=headers)


@cache
def _read(name: str) -> Content:
    import swagger_ui_bundle  # type: ignore[import-untyped]

    folder: Path = swagger_ui_bundle.swagger_ui_path
    return Content((folder / name).read_bytes(), _ASSETS[name])


def asset(name: str) -> Content:
    """Return one asset, `GET /docs/{name}`; raises `UnknownRouteError` for any name that is not on the list."""
    if name not in _ASSETS:
        raise UnknownRouteError("There is no such path; GET /openapi.json lists what there is")
    return _read(name)
