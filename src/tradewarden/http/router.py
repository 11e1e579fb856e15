"""Finds the row of the route table for a method and a path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tradewarden.errors import MethodNotAllowedError, UnknownRouteError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tradewarden.http.route import Route


class Router:
    """The table as two dictionaries: whole paths, and prefixes of paths that end in a parameter."""

    __slots__ = ("_exact", "_prefixes")

    def __init__(self, routes: Sequence[Route]) -> None:
        self._exact: dict[str, dict[str, Route]] = {}
        self._prefixes: dict[str, dict[str, Route]] = {}
        for route in routes:
            table = self._prefixes if route.parameter else self._exact
            table.setdefault(route.prefix, {})[route.method] = route

    def find(self, method: str, path: str) -> tuple[Route, str]:
        """Return the route and its path argument; raises `UnknownRouteError` or `MethodNotAllowedError`."""
        method = "GET" if method == "HEAD" else method
        methods = self._exact.get(path)
        if methods is not None and method in methods:
            return methods[method], ""
        first = path.find("/", 1) + 1
        longer = self._prefixes.get(path[:first]) if 0 < first < len(path) else None
        if longer is not None and method in longer and longer[method].takes(path[first:]):
            return longer[method], path[first:]
        allowed = sorted({*(methods or ()), *(longer or ())})
        if not allowed:
            raise UnknownRouteError("There is no such path; GET /openapi.json lists what there is")
        raise MethodNotAllowedError(tuple(allowed))
