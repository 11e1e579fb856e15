"""What a value itself says: placeholder, reference to where the secret really is, or something random. Pure."""

from __future__ import annotations

import base64
import math
import re
from collections import Counter
from typing import Final

from tradewarden.migrate.rules.letters import longest, strangeness

MAX_VALUE: Final = 8192
"""Longer texts are documents, not credentials (a private key in PEM has its own rule)."""

_REFERENCE = re.compile(
    r"""
    \$\{ | \$\( | \{\{ | \#\{ | \{\} | <[^<>]*> | ^\{[\w.\[\]'"!:]*\}$ | ^\[\w[\w\ -]*\]$  # filled in by a template
    | ^\$[A-Za-z_] | ^%[A-Za-z_]\w*%$ | %\(\w | ^%[sdr]  # a variable, a format
    | ^(?:vault|env|file|ssm|op|secrets?|awssm|aws-sm|gcp-?sm|sm|keyring|kms|akv|bws|asm|ref|pkcs11|passphrase)[:+]
    | ^arn:aws | ^projects/[^/]+/secrets/ | ^/?(?:run|etc|var|mnt)/secrets? | ^@\w+\. | ^!\w  # where a manager keeps it
    | ^ENC[\[(] | ^AgA[A-Za-z0-9+/]{200}  # encrypted: SOPS, Jasypt, sealed secrets
    | ^\w+\(\) | \bos\.(?:environ|getenv) | process\.env | getenv\(  # code
    """,
    re.VERBOSE,
)
_MASKED = re.compile(r"(.)\1{4}|[*\u2022]{3}|\.{3}|\u2026|^[xX][xX_-]*$|^[-_=.#]+$")
_SEQUENCE = re.compile(r"(?i)12345|abcde|qwerty|98765|asdf|deadbeef|cafebabe|00000")
_SAYS_SO = re.compile(
    r"""(?ix)
    your | change[-_ ]?(?:me|this|in|it) | replace | insert | placeholder | example | sample | dummy | redacted
    | fixme | todo | to[-_ ]be | not[-_ ]?(?:a[-_ ]|set|real|used|needed|for[-_ ])
    | do(?:[-_ ]?not|nt)[-_ ]?(?:use|commit|share|deploy|copy|keep|leave|run|forget|put|set)
    | fill[-_ ]?(?:in|me) | enter[-_ ] | put[-_ ] | [-_ ]here$ | supersecret(?:password)?$ | lorem
    | generate[-_ ] | openssl[-_ ] | undefined | removed | masked | foobar | mocked | invalid
    """
)
_SEQUENCE_MOST: Final = 48
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
_BASE64_LEAST: Final = 6
_GENERIC_TEXT: Final = """
a access account admin alpha always an and any api app application auth auto bad bar basic baz bearer binance bot
bybit client cloud coinbase config cookie correct credential credentials csrf data database db default demo dev
development disabled discord dummy eggs empty enabled encrypted encryption env environment exchange fake false field
finnhub first foo for from good guest hash header hidden hmac id iex in incorrect is it jwt key keys kraken local
localhost login manual me missing mock mongo my mysql na name never new nil no none not null of off old on one
optional or other pass passphrase passwd password passwords plain polygon postgres postgresql private prod production
public pw pwd qux rabbitmq random redis required root sa safe second secret secrets secure server service session
settings signing slack some spam staging str string stub super tbd telegram test tester testing tests text the three
to token tokens top trader trading true two type unknown unset uri url us user username valid value values vantage
very wallet webhook with wrong yes
"""
_GENERIC: Final = frozenset(_GENERIC_TEXT.split())
"""A value of nothing but these says what belongs there, or is everybody's: `test-api-key`, `postgres`."""
_INSTRUCTING: Final = frozenset(
    """
    additional ask auth authentication aws base64 blank bytes change character characters commit config
    configuration configured contains create current default digits documentation empty encrypted encryption env
    environment field file from generate generated have hidden if invalid key keys least length letters manager
    match may min minimum missing must need needed needs optional or password passwords please provide read
    required requires reset same secret secrets see set should sign signing sops stored token use used
    user username uses using value variable vault your
    """.split()  # noqa: SIM905
)
_SPACED = re.compile(r"[A-Za-z0-9'!?&.+#-]+(?: [A-Za-z0-9'!?&.+#-]+){1,11}")
_PHRASE_WORDS: Final = 4
_APP_PASSWORD = re.compile(r"[a-z]{4}(?: [a-z]{4}){3}")
"""What mail providers give to a program: four groups of four letters."""
_HEX_LEAST: Final = 24
_HEX_ENTROPY: Final = 2.8
_HEX_KEY = re.compile(r"(?=[^a-f]*[a-f])(?=[^0-9]*[0-9])[0-9a-f]+|(?=[^A-F]*[A-F])(?=[^0-9]*[0-9])[0-9A-F]+")
_TYPED_MOST: Final = 64
_TYPED_LEAST: Final = 8
_NO_TOKEN = re.compile(r"[\s()]")
_LETTER = re.compile("[A-Za-z]")
_LONG: Final = 16
_ENTROPY_LONG: Final = 3.0
_ENTROPY_SHORT: Final = 2.4
"""Bits a character; what generators make is above."""
_STRANGE: Final = 0.3
_LONG_PIECE: Final = 8
_ENOUGH: Final = 512
_UUID = re.compile(r"(?i)[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
_HASH = re.compile(
    r"(?:\w+:)?\$(?:2[abxy]|argon2\w*|pbkdf2[\w-]*|[156y]|scrypt)\$|pbkdf2[:_]|(?:sha\d+|md5)[-:$=]|\{SSHA\}|scrypt:|bcrypt"
)
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}|AC[0-9a-f]{32}|(?:bc1|tb1)[a-z0-9]{25,62}|cosmos1[a-z0-9]{38}")
_PUBLIC = re.compile(
    r"ssh-(?:rsa|ed25519|dss) |ecdsa-sha2|MII[A-Za-z0-9+/]{20,}IDAQAB|-----BEGIN (?:PUBLIC|CERT)|age1[a-z0-9]{50,}$"
)
_PATH = re.compile(r"^(?:[A-Za-z]:)?[~./\\]{0,3}(?:[\w.-]+[/\\])+[\w.-]*$")
_DATE = re.compile(r"^\d{4}-\d\d-\d\d|^\d+(?:\.\d+)*$")
_VERSION = re.compile(r"^v?\d+(?:\.\d+)+(?:[-+.]\w+)*$")
_NUMBER: Final = 4
"""Digits that may follow words: `test123`."""
_PART = re.compile(r"[-_./:\s,;@+=~|]+")


def placeholder(value: str) -> bool:
    """Tell whether a value stands for one that is somewhere else, or that someone must still fill in."""
    stripped = value.strip()
    if not stripped or _REFERENCE.search(stripped) or _MASKED.search(stripped) or _SAYS_SO.search(stripped):
        return True
    if (len(stripped) < _SEQUENCE_MOST and _SEQUENCE.search(stripped)) or _generic(stripped):
        return True
    inside = _in_base64(stripped)
    return bool(inside) and placeholder(inside)


def _in_base64(value: str) -> str:
    """Return the text that base64 hides; empty when it hides none."""
    if len(value) % 4 or not _BASE64.fullmatch(value):
        return ""
    try:
        inside = base64.b64decode(value, altchars=b"-_" if re.search("[-_]", value) else None).decode("ascii")
    except ValueError:
        return ""
    return inside if inside.isprintable() and len(inside) >= _BASE64_LEAST else ""


def _generic(value: str) -> bool:
    found = [word.lower() for piece in _PART.split(value) for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", piece)]
    rest = re.sub(r"[A-Za-z]|[-_./:\s,@+=]", "", value)
    return len(rest) <= _NUMBER and (rest.isdigit() or not rest) and all(word in _GENERIC for word in found)


def never(value: str) -> bool:
    """Tell whether a value is of a kind that is no secret: a hash, an address, a public key, a path, a date."""
    stripped = value.strip()
    kinds = (_HASH.match, _ADDRESS.fullmatch, _PUBLIC.search, _DATE.match, _VERSION.match)
    return any(kind(stripped) for kind in kinds) or (("/" in stripped or "\\" in stripped) and _is_path(stripped))


def _is_path(value: str) -> bool:
    return bool(_PATH.match(value)) and not random(value, 20)


def is_uuid(value: str) -> bool:
    """Tell whether it is a UUID, which is a credential only where its key says so."""
    return _UUID.fullmatch(value) is not None


def entropy(value: str) -> float:
    """Return the Shannon entropy of the characters, in bits a character."""
    size = len(value)
    return -sum(count / size * math.log2(count / size) for count in Counter(value).values()) if size else 0.0


def phrase(value: str, least: int = _PHRASE_WORDS) -> bool:
    """Tell whether it is words with blanks that someone made up, and no text about a password or key."""
    said = value.split(" ")
    return (
        len(said) >= least
        and _SPACED.fullmatch(value) is not None
        and _INSTRUCTING.isdisjoint(word.lower().strip(".?!") for word in said)
    )


def spaced(value: str) -> bool:
    """Tell whether it is a password with blanks: of a mail provider, or words with a digit."""
    if _APP_PASSWORD.fullmatch(value):
        return True
    return any(each.isdigit() for each in value) and value[-1] not in ".?!:" and phrase(value, 2)


def typed(value: str) -> bool:
    """Tell whether it looks like a password that someone thought of: digits among letters, and more than letters."""
    return (
        _TYPED_LEAST <= len(value) <= _TYPED_MOST
        and re.search(r"[A-Za-z][0-9]{1,3}[A-Za-z]", value) is not None
        and re.search(r"[^A-Za-z0-9]|[a-z].*[A-Z]|[A-Z].*[a-z]", value) is not None
        and re.search(r"[\s/\\:]|@[\w-]+\.", value) is None
    )


def random(value: str, least: int = 8) -> bool:
    """Tell whether `value` looks made by a generator: no blanks, many different characters, no words."""
    if not least <= len(value) <= MAX_VALUE or _NO_TOKEN.search(value) or not _LETTER.search(value):
        return False
    if len(value) >= _HEX_LEAST and _HEX_KEY.fullmatch(value):
        return entropy(value) >= _HEX_ENTROPY
    return (
        longest(value) >= _LONG_PIECE
        and entropy(value) >= (_ENTROPY_LONG if len(value) >= _LONG else _ENTROPY_SHORT)
        and strangeness(value[:_ENOUGH]) >= _STRANGE
    )
