"""A trading repository of realistic size and ugliness, with made-up credentials in every place where people put them.

The files stand in `tests/samples/trading`, with `@@name@@` for each credential, so that nothing in our own tree looks
like one. The values are made from a seed when the repository is; `@@mark:name@@` is a short digest of one, by which the
repository's own tests see that a program still gets what it got.
"""

from __future__ import annotations

import base64
import hashlib
import os
import random
import string
import subprocess
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path

SAMPLES = Path(__file__).resolve().parents[1] / "samples"
_CRLF = ("bots/bybit_perp.py", "config/legacy.ini")
_MARKED = ("bots/legacy.py",)
_EXECUTABLE = ("deploy/run.sh", "scripts/backup.sh", "bots/binance_spot.py")
_STRATEGIES = (
    "momentum", "reversion", "breakout", "bollinger", "scalper", "swing", "pairs", "grid", "turtle", "donchian",
    "keltner", "squeeze", "carry", "basis",
)  # fmt: skip
_LETTERS = string.ascii_letters + string.digits
_GIT = {
    "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null",
    "GIT_AUTHOR_NAME": "t", "GIT_COMMITTER_NAME": "t",
    "GIT_AUTHOR_EMAIL": "t@example.com", "GIT_COMMITTER_EMAIL": "t@example.com",
}  # fmt: skip


def values(seed: int = 5) -> dict[str, str]:
    """Return every credential of the repository, by name."""
    chance = random.Random(seed)

    def some(size: int, alphabet: str = _LETTERS) -> str:
        return "".join(chance.choice(alphabet) for _ in range(size))

    def raw(size: int) -> bytes:
        return bytes(chance.randrange(256) for _ in range(size))

    body = "\n".join(textwrap.wrap(base64.b64encode(raw(120)).decode(), 64))
    kind = "EC PRIVATE KEY"
    return {
        "binance_key": some(64),
        "binance_secret": some(64),
        "binance_old_key": some(64),
        "binance_sub_key": some(64),
        "binance_sub_secret": some(64),
        "bybit_key": some(18),
        "bybit_secret": some(36),
        "coinbase_key": some(32, "0123456789abcdef"),
        "coinbase_secret": base64.b64encode(raw(64)).decode(),
        "coinbase_passphrase": some(11, string.ascii_lowercase + string.digits),
        "kraken_key": base64.b64encode(raw(42)).decode(),
        "kraken_secret": base64.b64encode(raw(64)).decode(),
        "polygon": some(32),
        "iex": f"pk_{some(32, '0123456789abcdef')}",
        "alpha_vantage": some(16, string.ascii_uppercase + string.digits),
        "finnhub": some(20, string.ascii_lowercase + string.digits),
        "db_password": f"{some(9)}_{some(8)}",
        "redis": some(24),
        "telegram": f"{chance.randrange(10**9, 10**10 - 1)}:AA{some(33)}",
        "slack": f"https://hooks.slack.com/services/T{some(8).upper()}/B{some(8).upper()}/{some(24)}",
        "smtp": f"{some(6)}-{some(5)}!{some(4)}",
        "twilio": some(32, "0123456789abcdef"),
        "jwt": base64.urlsafe_b64encode(raw(32)).decode().rstrip("="),
        "fernet": base64.urlsafe_b64encode(raw(32)).decode(),
        "aws_id": f"AKIA{some(16, string.ascii_uppercase + '234567')}",
        "aws_secret": some(40, f"{_LETTERS}/+"),
        "internal_token": some(40, "0123456789abcdef"),
        "desk": some(32),
        "pem": f"-----BEGIN {kind}-----\n{body}\n-----END {kind}-----",
    }


def make(root: Path, seed: int = 5) -> dict[str, str]:
    """Write the repository to `root` and commit it; returns its credentials."""
    made = values(seed)
    for source in sorted((SAMPLES / "trading").rglob("*.txt")):
        name = source.relative_to(SAMPLES / "trading").as_posix().removesuffix(".txt")
        _write(root, name, _filled(source.read_text(), made))
    for number, name in enumerate(_STRATEGIES):
        _write(root, f"strategies/{name}.py", _strategy(name, number, made))
    _write(root, "strategies/__init__.py", "")
    _write(root, "config/markets.yaml", _markets())
    git(root, "init", "-q", "-b", "main")
    commit(root, "everything")
    return made


def git(root: Path, *arguments: str) -> str:
    """Run git in the repository, as its owner would."""
    done = subprocess.run(
        ["git", *arguments], cwd=root, env=os.environ | _GIT, check=True, capture_output=True, text=True
    )
    return done.stdout


def commit(root: Path, message: str) -> None:
    """Commit everything that is not ignored."""
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", message)


def snapshot(root: Path) -> dict[str, tuple[int, bytes]]:
    """Return mode and bytes of every file that is not git's or made by running Python."""
    return {
        path.relative_to(root).as_posix(): (path.stat().st_mode, path.read_bytes())
        for path in sorted(root.rglob("*"))
        if path.is_file() and not {".git", "__pycache__"}.intersection(path.relative_to(root).parts)
    }


def leaks(root: Path, made: Mapping[str, str]) -> list[str]:
    """Return where a credential stands in plain, as `file: name`, outside of git's own files."""
    needles = {
        name: [line.encode() for line in value.splitlines() if "PRIVATE KEY" not in line]
        for name, value in made.items()
    }
    return [
        f"{file}: {name}"
        for file, (_, content) in snapshot(root).items()
        for name, parts in needles.items()
        if any(part in content for part in parts)
    ]


def _write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = text.encode()
    if name in _CRLF:
        raw = raw.replace(b"\n", b"\r\n")
    if name in _MARKED:
        raw = b"\xef\xbb\xbf" + raw
    path.write_bytes(raw)
    if name in _EXECUTABLE:
        path.chmod(0o755)


def _filled(text: str, made: Mapping[str, str]) -> str:
    for name, value in made.items():
        text = text.replace(f"@@mark:{name}@@", hashlib.sha256(value.encode()).hexdigest()[:10])
        text = text.replace(f"@@{name}_indented@@", textwrap.indent(value, "    "))
        text = text.replace(f"@@{name}@@", value)
    return text


def _strategy(name: str, number: int, made: Mapping[str, str]) -> str:
    keys: tuple[Callable[[str], str], ...] = (
        lambda value: f'key = "{value}"  # desk',
        lambda value: f"key = '{value[:16]}' '{value[16:]}'",
        lambda value: f'key = "{value[:16]}" + "{value[16:]}"',
        lambda _: "key = None  # the desk's key is in nobody's head",
    )
    text = (SAMPLES / "strategy.txt").read_text()
    for field, value in {
        "title": name.title(), "name": name, "year": 2015 + number % 8, "fast": 5 + number, "slow": 21 + 3 * number,
        "stop": round(0.01 + 0.003 * number, 3), "average": ("sma", "ema")[number % 2], "high": 70 - number,
        "low": 30 + number, "key": keys[min(number, 3)](made["desk"]).replace("key = ", "api_key = key = "),
    }.items():  # fmt: skip
        text = text.replace(f"@{field}@", str(value))
    return text


def _markets() -> str:
    coins = ("BTC", "ETH", "SOL", "ADA", "XRP", "DOT", "LTC", "LINK", "AVAX", "ATOM")
    lines = ["# fetched by hand, do not sort", "markets:"]
    for quote in ("USDT", "EUR", "USD", "BTC"):
        for coin in coins:
            lines += [f"  - symbol: {coin}/{quote}", f"    id: {coin}{quote}", "    precision: {price: 2, amount: 6}"]
            lines += ["    active: true", "    fees:", "      maker: 0.00075", "      taker: 0.001"]
    return "\n".join(lines) + "\n"
