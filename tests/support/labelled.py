"""The labelled texts of `tests/labelled`: reads them, makes their credentials up, and measures the finder on them."""

from __future__ import annotations

import base64
import random
import re
import string
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from tradewarden.migrate.scan import find_in

LABELLED = Path(__file__).resolve().parent.parent / "labelled"
_MADE = re.compile(r"(?P<open>[«‹])(?:=(?P<literal>[^»›]*)|(?P<kind>\w+):(?P<label>\w+))[»›]")  # noqa: RUF001
_BELONGS = re.compile(r"\s*⇒\s*(\S+)$")


class Label(NamedTuple):
    """One credential that must be found; `belongs` is empty where any destination will do."""

    start: int
    end: int
    line: str
    belongs: str


class Text(NamedTuple):
    """One text with its labels; `negatives` is the number of lines that look like credentials."""

    name: str
    text: str
    labels: tuple[Label, ...]
    negatives: int


class Measured(NamedTuple):
    """What the finder did; the lists name lines."""

    right: int
    missed: list[str]
    wrong: list[str]
    misplaced: list[str]
    lines: int

    @property
    def precision(self) -> float:
        """How many of the findings are credentials."""
        return self.right / max(1, self.right + len(self.wrong))

    @property
    def recall(self) -> float:
        """How many of the credentials are found."""
        return self.right / max(1, self.right + len(self.missed))


def texts(part: str) -> Iterator[Text]:
    """Yield the texts of `tuned` or `held_out`."""
    for path in sorted((LABELLED / part).glob("*.txt")):
        for piece in re.split(r"^=== ", path.read_text("utf-8"), flags=re.MULTILINE)[1:]:
            name, _, body = piece.partition("\n")
            yield _text(name.strip(), body.splitlines())


def measure(part: str) -> Measured:
    """Run the finder over all texts of a part. A finding counts when it encloses exactly what is labelled."""
    measured = Measured(0, [], [], [], 0)
    for each in texts(part):
        measured = _measure(each, measured)
    return measured


def _measure(each: Text, so_far: Measured) -> Measured:
    expected = {(label.start, label.end): label for label in each.labels}
    found = {(one.start, one.end): one for one in find_in(each.name, each.text)}
    for place, one in found.items():
        label = expected.get(place)
        if label is None:
            so_far.wrong.append(
                f"{each.name}: {each.text.splitlines()[one.line - 1].strip()[:150]} [{one.rule}, {one.key}]"
            )
            continue
        belongs = f"{one.destination.name}.{one.destination.field}".rstrip(".")
        if label.belongs and label.belongs != belongs:
            so_far.misplaced.append(f"{each.name}: {label.line[:150]}: {belongs}, not {label.belongs}")
    so_far.missed.extend(f"{each.name}: {label.line}" for place, label in expected.items() if place not in found)
    right = len(expected.keys() & found.keys())
    return so_far._replace(right=so_far.right + right, lines=so_far.lines + len(each.labels) + each.negatives)


def _text(name: str, lines: list[str]) -> Text:
    text, labels, negatives = "", [], 0
    for line in lines:
        sign, rest = line[:1], line[2:]
        belongs = _BELONGS.search(rest)
        rest = rest[: belongs.start()] if belongs else rest
        negatives += sign == "-"
        place = 0
        for match in _MADE.finditer(rest):
            text += rest[place : match.start()]
            value = match["literal"] if match["literal"] is not None else made(match["kind"], match["label"])
            if match["open"] == "«":
                assert sign == "+", line
                labels.append(Label(len(text), len(text) + len(value), rest.strip(), belongs[1] if belongs else ""))
            text += value
            place = match.end()
        text += rest[place:] + "\n"
    return Text(name, text, tuple(labels), negatives)


def made(kind: str, label: str) -> str:
    """Make a credential up: always the same one for a kind and a label."""
    return _KINDS[kind](random.Random(f"{kind}/{label}"))


def _of(alphabet: str, size: int) -> Callable[[random.Random], str]:
    """Like a generator's output, with each kind of character in it."""

    def make(source: random.Random) -> str:
        kinds = [
            kind
            for kind in (string.ascii_lowercase, string.ascii_uppercase, string.digits)
            if set(kind) & set(alphabet)
        ]
        while True:
            text = "".join(source.choice(alphabet) for _ in range(size))
            if all(set(kind) & set(text) for kind in kinds):
                return text

    return make


def _base64(size: int) -> Callable[[random.Random], str]:
    return lambda source: base64.b64encode(source.randbytes(size)).decode()


def _fernet(source: random.Random) -> str:
    return base64.urlsafe_b64encode(source.randbytes(32)).decode()


def _pem(newline: str) -> Callable[[random.Random], str]:
    def make(source: random.Random) -> str:
        body = base64.b64encode(b"\x30\x81\x87" + source.randbytes(135)).decode()
        rows = [body[place : place + 64] for place in range(0, len(body), 64)]
        return newline.join(["-----BEGIN " + "PRIVATE KEY-----", *rows, "-----END " + "PRIVATE KEY-----"])

    return make


_ALNUM = string.ascii_letters + string.digits
_HEX = "0123456789abcdef"
_WORD = _ALNUM + "_-"


def _join(*parts: str | Callable[[random.Random], str]) -> Callable[[random.Random], str]:
    return lambda source: "".join(part if isinstance(part, str) else part(source) for part in parts)


def _uuid(source: random.Random) -> str:
    return str(uuid.UUID(int=source.getrandbits(128), version=4))


def _jwt(source: random.Random) -> str:
    head, body = (
        base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (b'{"alg":"HS256"}', b'{"sub":"bot-7"}')
    )
    return f"{head}.{body}.{_of(_WORD, 43)(source)}"


_KINDS: dict[str, Callable[[random.Random], str]] = {
    **{f"alnum{size}": _of(_ALNUM, size) for size in (32, 64)},
    **{f"mixed{size}": _of(_ALNUM, size) for size in (18, 20, 24, 32, 36, 40, 43, 48, 64)},
    **{f"lower{size}": _of(string.ascii_lowercase + string.digits, size) for size in (11, 20, 24, 30, 40)},
    **{f"upper{size}": _of(string.ascii_uppercase + string.digits, size) for size in (16, 20, 32)},
    **{f"hex{size}": _of(_HEX, size) for size in (16, 24, 32, 40, 64, 128)},
    "digits": _of(string.digits, 10),
    "b64_24": _base64(18),
    "b64_44": _base64(32),
    "b64_56": _base64(42),
    "b64_68": _base64(51),
    "b64_88": _base64(64),
    "b64pw": lambda source: base64.b64encode(_of(_ALNUM, 15)(source).encode()).decode(),
    "bcrypt": _of(_ALNUM + "./", 53),
    "bech38": _of("qpzry9x8gf2tvdw0s3jn54khce6mua7l", 38),
    "fernet": _fernet,
    "uuid": _uuid,
    "jwt": _jwt,
    "pem": _pem("\n"),
    "pem4": _pem("\n    "),
    "pemjson": _pem("\\n"),
    "cdpname": _join("organizations/", _uuid, "/apiKeys/", _uuid),
    "aws": _join("AKIA", _of(string.ascii_uppercase + "234567", 16)),
    "awssecret": _of(_ALNUM + "/+", 40),
    "sk": _join("sk_", _of(_HEX, 32)),
    "pk": _join("pk_", _of(_HEX, 32)),
    "ethkey": _join("0x", _of(_HEX, 64)),
    "hvs": _join("hvs.", _of(_WORD, 90)),
    "sg": _join("SG.", _of(_WORD, 22), ".", _of(_WORD, 43)),
    "glsa": _join("glsa_", _of(_ALNUM, 32), "_", _of(_HEX, 8)),
    "glpat": _join("glpat-", _of(_ALNUM, 20)),
    "openai": _join("sk-proj-", _of(_ALNUM, 48)),
    "oanda": _join(_of(_HEX, 32), "-", _of(_HEX, 32)),
    "npm": _join("npm_", _of(_ALNUM, 36)),
    "ghp": _join("ghp_", _of(_ALNUM, 36)),
    "telegram": _join(lambda source: str(source.randrange(10**8, 10**10)), ":AA", _of(_WORD, 33)),
    "slackbot": _join(
        "xoxb-",
        lambda source: f"{source.randrange(10**11, 10**12)}-{source.randrange(10**11, 10**12)}-",
        _of(_ALNUM, 24),
    ),
    "slackhook": _join(
        "https://hooks.slack.com/services/T",
        _of(string.ascii_uppercase + string.digits, 8),
        "/B",
        _of(string.ascii_uppercase + string.digits, 8),
        "/",
        _of(_ALNUM, 24),
    ),
    "discordhook": _join(
        "https://discord.com/api/webhooks/", lambda source: str(source.randrange(10**17, 10**18)), "/", _of(_WORD, 68)
    ),
}
