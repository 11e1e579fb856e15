"""`/metrics`, `/openapi.json`, `/docs`: for operators, on loopback in development or with a permission."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import msgspec

from tradewarden.errors import FeatureDisabledError
from tradewarden.http import docs as swagger
from tradewarden.http.metrics import CONTENT_TYPE
from tradewarden.http.openapi import document
from tradewarden.http.route import Content, Nothing

if TYPE_CHECKING:
    from tradewarden.access.grant import Grant
    from tradewarden.app import Warden
    from tradewarden.audit.entry import Entry


class Asset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of the documentation page, by its name on our list."""

    name: str


async def metrics(warden: Warden, grant: Grant, command: Nothing, entry: Entry) -> Content:
    """Give the metrics of all processes in Prometheus text."""
    del grant, command, entry
    if warden.metrics is None:
        raise FeatureDisabledError("Nothing is measured in this process")
    return Content(warden.metrics.render(), CONTENT_TYPE)


@cache
def _document(version: str) -> Content:
    from tradewarden.http.routes import ROUTES  # the table names this very module

    return Content(document(ROUTES, version), "application/json")


async def openapi(warden: Warden, grant: Grant, command: Nothing, entry: Entry) -> Content:
    """Give the OpenAPI 3.1 document of the route table."""
    del grant, command, entry
    return _document(warden.version)


async def docs(warden: Warden, grant: Grant, command: Nothing, entry: Entry) -> Content:
    """Give the interactive documentation page."""
    del warden, grant, command, entry
    return swagger.page()


async def asset(warden: Warden, grant: Grant, command: Asset, entry: Entry) -> Content:
    """Give a file of the documentation page."""
    del warden, grant, entry
    return swagger.asset(command.name)
