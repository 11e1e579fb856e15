"""Whether a rewritten YAML, TOML, JSON or INI file holds what it held, with references in the place of values. Pure."""

from __future__ import annotations

import configparser
import json
import tomllib
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

Load: TypeAlias = "Callable[[str], object]"


def holds_the_same(before: str, after: str, values: Mapping[str, str], load: Load) -> bool:
    """Tell whether `after`, its references replaced by `values`, is `before`.

    A document that could not be read before is not compared: template languages look like that.
    """
    try:
        old = load(before)
    except (ValueError, RecursionError):
        return True
    try:
        return _Comparison(values).same(old, load(after))
    except (ValueError, RecursionError):
        return False


def load_json(text: str) -> object:
    """Read JSON."""
    return json.loads(text.removeprefix("\ufeff"))


def load_toml(text: str) -> object:
    """Read TOML."""
    return tomllib.loads(text.removeprefix("\ufeff"))


def load_ini(text: str) -> object:
    """Read an INI file without interpolation."""
    parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
    try:
        parser.read_string(text.removeprefix("\ufeff"))
    except configparser.Error as error:
        raise ValueError("not an INI file") from error
    return {section: dict(parser.items(section)) for section in parser.sections()}


def load_yaml(text: str) -> object:
    """Read all documents of a YAML file into lists, without a meaning for tags."""
    import yaml  # type: ignore[import-untyped]

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        """Reads every tag it does not know as the text behind it."""

    Loader.add_multi_constructor("", lambda loader, _tag, node: loader.construct_scalar(node)
                                 if isinstance(node, yaml.ScalarNode) else str(node.tag))  # fmt: skip
    try:
        return list(yaml.load_all(text, Loader))
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError("not YAML") from error


class _Comparison:
    """Compares two documents; what aliases share is compared once, so that few lines cannot take for ever."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self._seen: set[tuple[int, int]] = set()

    def same(self, old: object, new: object) -> bool:
        """Tell whether `new` is `old`, its references replaced."""
        if isinstance(old, dict | list):
            if (id(old), id(new)) in self._seen:
                return True
            self._seen.add((id(old), id(new)))
        if isinstance(old, dict) and isinstance(new, dict):
            return list(map(str, old)) == list(map(str, new)) and self._all(old.values(), new.values())
        if isinstance(old, list) and isinstance(new, list):
            return len(old) == len(new) and self._all(old, new)
        if isinstance(new, str):
            for reference, value in self._values.items():
                new = new.replace(reference, value)
            return str(old) == new
        return old == new

    def _all(self, old: Iterable[object], new: Iterable[object]) -> bool:
        return all(self.same(one, other) for one, other in zip(old, new, strict=True))
