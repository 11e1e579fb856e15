"""Finds the row of the route table for a method and a path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tradewarden.errors import MethodNotAllowedError, UnknownRouteError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tradewarden.http.route import Route

_LISTED = "; GET /openapi.json lists what there is"


class Router:
    """The table as two dictionaries: whole paths, and prefixes of paths that end in a parameter."""

    __slots__ = ("_exact", "_prefixes")

    def __init__(self, routes: Sequence[Route]) -> None:
        self._exact: dict[str, dict[str, Route]] = {}
        self._prefixes: dict[str, dict[str, Route]] = {}
        for route in routes:
            table = self._prefixes if route.parameter else self._exact
            table.setdefault(route.prefix, {})[route.method] = route
        for methods in (*self._exact.values(), *self._prefixes.values()):
            if "GET" in methods:
                methods.setdefault("HEAD", methods["GET"])

    def find(self, method: str, path: str) -> tuple[Route, str]:
        """Return the route and its path argument; raises `UnknownRouteError` or `MethodNotAllowedError`."""
        methods = self._exact.get(path)
        if methods is not None and method in methods:
            return methods[method], ""
        longer, argument = self._longer(path)
        if longer is not None and method in longer and longer[method].takes(argument):
            return longer[method], argument
        taking = {each for each, route in (longer or {}).items() if route.takes(argument)}
        allowed = sorted({*(methods or ()), *taking} - {"HEAD"})
        if not allowed:
            raise UnknownRouteError(f"There is no such path{_LISTED if '/openapi.json' in self._exact else ''}")
        raise MethodNotAllowedError(tuple(allowed))

    def _longer(self, path: str) -> tuple[dict[str, Route] | None, str]:
        """Return the routes below the first two segments, or below the first, and what of the path is left for them."""
        first = path.find("/", 1) + 1
        if not first:
            return None, ""
        second = path.find("/", first) + 1
        for end in (second, first):
            found = self._prefixes.get(path[:end]) if 0 < end < len(path) else None
            if found is not None:
                return found, path[end:]
        return None, ""
