"""Which rewriter takes a language, and the last look at what it made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tradewarden.errors import InvalidInputError
from tradewarden.migrate.documents import holds_the_same, load_ini, load_json, load_toml, load_yaml
from tradewarden.migrate.edit import edited
from tradewarden.migrate.finding import Language
from tradewarden.migrate.rewrite_dockerfile import rewrite_dockerfile
from tradewarden.migrate.rewrite_env import rewrite_env
from tradewarden.migrate.rewrite_ini import rewrite_ini
from tradewarden.migrate.rewrite_prose import rewrite_prose
from tradewarden.migrate.rewrite_quoted import rewrite_quoted
from tradewarden.migrate.rewrite_shell import required, rewrite_shell
from tradewarden.migrate.rewrite_yaml import reference_in, rewrite_yaml
from tradewarden.migrate.rewriting import Rewritten

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tradewarden.migrate.documents import Load
    from tradewarden.migrate.rewriting import Move, Rewriter

_REWRITERS: Final[Mapping[Language, Rewriter]] = {
    Language.YAML: rewrite_yaml,
    Language.COMPOSE: rewrite_yaml,
    Language.TOML: rewrite_quoted,
    Language.JSON: rewrite_quoted,
    Language.INI: rewrite_ini,
    Language.ENV: rewrite_env,
    Language.SHELL: rewrite_shell,
    Language.DOCKERFILE: rewrite_dockerfile,
    Language.OTHER: rewrite_prose,
}
_LOADS: Final[Mapping[Language, Load]] = {
    Language.YAML: load_yaml,
    Language.COMPOSE: load_yaml,
    Language.TOML: load_toml,
    Language.JSON: load_json,
    Language.INI: load_ini,
}
LOADED_BY_PROGRAMS: Final = frozenset({Language.YAML, Language.TOML, Language.JSON, Language.INI})
"""Formats that a program reads, so that it must resolve the references in them."""


def rewrite(text: str, language: Language, moves: Sequence[Move]) -> Rewritten:
    """Rewrite a file that is not Python; a file that would not hold the same afterwards is left to a person."""
    rewritten = Rewritten()
    _REWRITERS[language](text, moves, rewritten)
    load = _LOADS.get(language)
    values: dict[str, str] = {}
    for move in moves:
        for reference in (reference_in(move), required(move), move.reference):
            values[reference] = move.finding.value.reveal()
    try:
        after = edited(text, rewritten.edits)
        sound = load is None or holds_the_same(text, after, values, load)
    except InvalidInputError:
        sound = False
    if sound:
        return rewritten
    left = Rewritten()
    for move in moves:
        left.leave(move, "the rewritten file would not hold the same")
    return left
