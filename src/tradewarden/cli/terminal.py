"""Untrusted text on its way to a terminal: what could steer the terminal or reorder the line is taken out.

Names, paths and messages that others chose could carry escape sequences (ASVS V1.3.3).
"""

from __future__ import annotations

import re
import sys

MAX_SHOWN = 4096
# C0, DEL and C1 controls; line and paragraph separators; bidirectional and other invisible format characters.
_STEERING = r"\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff"
_CONTROL = re.compile(f"[{_STEERING}]")
_CONTROL_BUT_LINES = re.compile(f"(?![\t\n])[{_STEERING}]")
_UNESCAPED = re.compile(f"(?!\n)[{_STEERING}]")

_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")


def clean(text: str, *, lines: bool = False, most: int = MAX_SHOWN) -> str:
    """Return `text` fit for a terminal, cut to `most` characters; `lines` keeps line ends and tabs."""
    shown = (_CONTROL_BUT_LINES if lines else _CONTROL).sub("\N{REPLACEMENT CHARACTER}", text)
    return shown if len(shown) <= most else f"{shown[:most]}…"


def clean_json(text: str) -> str:
    """Return JSON text that means the same, with what could steer a terminal written as escapes."""
    return _UNESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def json_for(encoding: str, text: str) -> str:
    """Return JSON text that means the same, in ASCII escapes where `encoding` cannot say it."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return _BEYOND_ASCII.sub(lambda match: _utf16(match[0]), text)
    return text


def _utf16(letter: str) -> str:
    """Return a letter as JSON escapes (RFC 8259 section 7)."""
    code = letter.encode("utf-16-be").hex()
    return "".join(f"\\u{code[at : at + 4]}" for at in range(0, len(code), 4))


def note(text: str) -> None:
    """Say something to the person, beside the output: one line on stderr."""
    sys.stderr.write(f"{clean(text, lines=True)}\n")
