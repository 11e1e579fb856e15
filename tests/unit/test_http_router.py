"""Routes by path: what a path does not lead to is unknown, whatever lies beside it."""

from __future__ import annotations

import pytest

from tradewarden.errors import MethodNotAllowedError, UnknownRouteError
from tradewarden.http.router import Router
from tradewarden.http.routes import ROUTES

ROUTER = Router(ROUTES)
METHODS = ("GET", "POST", "DELETE", "PUT", "PATCH")
NOWHERE = (
    "/services/a/b",
    "/ca/crl/a/b",
    "/docs/../x",
    "/credentials/a/b",
    "/acme/order/a/b",
    "/services/",
    "/nowhere",
)
SOMEWHERE = (
    "/services", "/services/names", "/services/a", "/credentials/issue", "/credentials/join-tokens/withdraw",
    "/secrets/store", "/secrets/a/b", "/ca/ocsp/a/b", "/acme/new-nonce", "/rotations/policies/a/b",
)  # fmt: skip


def taken(method: str, path: str) -> bool:
    """Tell whether a call would be routed."""
    try:
        ROUTER.find(method, path)
    except (MethodNotAllowedError, UnknownRouteError):
        return False
    return True


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", NOWHERE)
def test_a_path_whose_argument_fits_no_route_is_unknown(method: str, path: str) -> None:
    """A route of one segment is none for two: 404, and not 405 with the very method that was used."""
    with pytest.raises(UnknownRouteError):
        ROUTER.find(method, path)


@pytest.mark.parametrize("path", SOMEWHERE)
def test_the_methods_that_are_told_are_those_that_answer(path: str) -> None:
    """`Allow` names every method that would be routed, and no other (RFC 9110 section 10.2.1)."""
    with pytest.raises(MethodNotAllowedError) as refused:
        ROUTER.find("PATCH", path)
    assert set(refused.value.allowed) == {each for each in METHODS if taken(each, path)}


def test_two_routes_below_one_prefix_answer_for_themselves() -> None:
    """`DELETE /secrets/a/b` is taken for its rest of a path, `POST /services/a` by nobody."""
    assert ROUTER.find("DELETE", "/secrets/a/b")[1] == "a/b"
    with pytest.raises(MethodNotAllowedError, match="DELETE, GET"):
        ROUTER.find("POST", "/services/a")
