"""Whatever literal a value stands in, the rewritten program computes what the old one did."""

from __future__ import annotations

import os
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.moves import VALUE, moves, rewritten_by
from tradewarden.migrate.rewrite_python import PythonRewriter
from tradewarden.migrate.rewriting import Reading

_around = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=12).filter(
    lambda text: VALUE not in text
)
_VARIABLE = "ALPHAPULSE_BINANCE_API_KEY"


@st.composite
def literals(draw: st.DrawFn) -> str:
    """A literal with the value in it, written by hand or by `repr`."""
    before, after = draw(_around), draw(_around)
    kind = draw(st.sampled_from(["repr", "bytes", "format", "joined", "added", "triple"]))
    whole = repr(f"{before}{VALUE}{after}")
    match kind:
        case "bytes":
            return repr(f"{before}{VALUE}{after}".encode())
        case "format":
            return "f" + whole.replace("{", "{{").replace("}", "}}")
        case "joined":
            return f"({before!r} {whole} {after!r})"
        case "added":
            return f"{before!r} + {whole} + {after!r}"
        case "triple":
            return '"""' + whole[1:-1].replace('"', '\\"') + '"""'
    return whole


@given(literals(), st.sampled_from(list(Reading)))
@settings(max_examples=150, deadline=None)
def test_any_literal_keeps_its_value(literal: str, reading: Reading) -> None:
    """Or it is left with a reason; never anything third."""
    text = f"x = {literal}\n"
    after, result = rewritten_by(PythonRewriter(reading), text, moves(text))
    if result.by_hand:
        assert after == text
        return
    assert VALUE not in after
    reader = patch("tradewarden.secrets.shared.platform_secret", lambda *_: VALUE)
    spaces: list[dict[str, object]] = []
    with patch.dict(os.environ, {_VARIABLE: VALUE}), reader:
        for program in (text, after):
            space: dict[str, object] = {}
            exec(program, space)  # noqa: S102 - the literal above
            spaces.append(space)
    assert spaces[0]["x"] == spaces[1]["x"]
