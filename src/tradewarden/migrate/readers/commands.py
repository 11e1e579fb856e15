"""What commands take as a password without saying so: `curl -u user:…`, `mysql -p…`, `docker login -p …`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from tradewarden.migrate.candidate import Candidate

if TYPE_CHECKING:
    from collections.abc import Iterator

_REST = r"[^\r\n;|]{0,200}?"
_PASSWORD = r"""["']?(?P<bare>[^\s"'$<>()|;&-][^\s"'<>()|;&]{3,200})"""  # noqa: S105 - a pattern
_FLAGS = r"(?:-\w{1,9}\s+){0,5}"
_COMMANDS: Final = (
    (
        (" -u", " --user"),
        re.compile(r"""\s(?:-u|--user)[= ]?\s*["']?[\w.@-]+:(?P<bare>[^\s"':$]{4,200})"""),
        "password",
    ),
    (
        ("mysql", "mariadb", "sshpass"),
        re.compile(
            r"""\b(?:mysql|mysqldump|mariadb|sshpass)\b[^\r\n;|]{0,200}?\s-p\s?["']?(?P<bare>[^\s"'$-][^\s"']{3,200})"""
        ),
        "password",
    ),
    (("machine ",), re.compile(r"""\bmachine\s+\S+\s+login\s+\S+\s+password\s+(?P<bare>\S+)"""), "password"),
    (
        ("redis-cli",),
        re.compile(r"""\bredis-cli\b[^\r\n;|]{0,200}?[\s"']-a["']?[\s,]+["']?(?P<bare>[^\s"'$][^\s"']{3,200})"""),
        "redis_password",
    ),
    (
        ("aws configure",),
        re.compile(r"""\baws\s+configure\s+set\s+aws_secret_access_key\s+["']?(?P<bare>[A-Za-z0-9/+]{40})"""),
        "aws_secret_access_key",
    ),
    (
        ("--set", "--conf", "--property", "-var", "--extra-vars", " -D", " -P", " -e"),
        re.compile(
            r"""\s(?:--set(?:-string)?|--conf|--property|--?var|--extra-vars|-D|-P|-e)[= ]?["']?"""
            r"""(?P<key>[A-Za-z_][\w.-]{0,100})=["']?(?P<bare>[^\s"'$,]{4,500})"""
        ),
        "",
    ),
    (
        ("--from-literal",),
        re.compile(r"""--from-literal[= ]["']?(?P<key>[A-Za-z_][\w.-]*)=["']?(?P<bare>[^\s"'$]+)"""),
        "",
    ),
    (
        ("-H", "--header"),
        re.compile(r"""(?:-H|--header)[= ]\s*["'](?P<key>[A-Za-z][\w-]*):\s*(?P<bare>[^\s"'$]+)["']"""),
        "",
    ),
    (
        ("login", "Login"),
        re.compile(rf"""\b[Ll]ogin\b{_REST}\s-p[= ]?{_PASSWORD}"""),
        "login_password",
    ),
    (
        ("htpasswd",),
        re.compile(
            rf"""\bhtpasswd\s+{_FLAGS}-[A-Za-z0-9]{{0,5}}b\w{{0,5}}\s+{_FLAGS}"""
            rf"""(?:[^\s-]\S{{0,200}}\s+)?[^\s-]\S{{0,99}}\s+{_PASSWORD}"""
        ),
        "htpasswd_password",
    ),
    (
        ("sudo", "--stdin", "-stdin", "passwd", "--passphrase-fd"),
        re.compile(
            rf"""\b(?:echo|printf)\s+(?:-\w\s+)?{_PASSWORD}["']?\s*\|\s*"""
            rf"""(?:sudo\s+{_FLAGS}-\w{{0,9}}S|[^\r\n;|]{{0,200}}?(?:-stdin\b|-passphrase-fd))"""
        ),
        "sudo_password",
    ),
    (
        ("chpasswd",),
        re.compile(
            r"""\b(?:echo|printf)\s+(?:-\w\s+)?["']?[\w.-]+:(?P<bare>[^\s"'$:][^\s"']{3,200})["']?\s*\|\s*(?:sudo\s+)?chpasswd"""
        ),
        "password",
    ),
    (
        ("openssl", "pass:"),
        re.compile(rf"""(?:\bopenssl\b{_REST}\s-[kK]\s+|\s-pass(?:in|out)?\s+["']?pass:){_PASSWORD}"""),
        "openssl_password",
    ),
    (
        (" -P", " -w"),
        re.compile(
            rf"""\b(?:mosquitto_(?:pub|sub)|sqlcmd|bcp|ipmitool|zip|unzip|xfreerdp|ldap\w+|hdbsql|nats)\b{_REST}\s-[Pw]\s?{_PASSWORD}"""
        ),
        "password",
    ),
    (
        (" -p",),
        re.compile(
            rf"""\b(?:mongo\w*|cqlsh|7z\w?|unrar|rar|rabbitmqadmin|ansible-vault|snowsql)\b{_REST}\s-p\s?{_PASSWORD}"""
        ),
        "password",
    ),
    (
        ("secret",),
        re.compile(
            rf"""\b(?:secret|variable)s?\s+(?:set|put|add|create|update)\s+(?P<key>[A-Za-z_]\w{{1,99}}){_REST}"""
            rf"""\s(?:-b|--body|--value|-v)[= ]?\s*{_PASSWORD}"""
        ),
        "",
    ),
    (
        ("rabbitmqctl",),
        re.compile(rf"""\brabbitmqctl\s+(?:add_user|change_password)\s+\S+\s+{_PASSWORD}"""),
        "rabbitmq_password",
    ),
)
"""What a text must hold, the pattern, and what the value is called where the command does not say."""


def passwords(text: str) -> Iterator[Candidate]:
    """Yield what stands where a command takes a password."""
    for anchors, pattern, key in _COMMANDS:
        if any(anchor in text for anchor in anchors):
            for match in pattern.finditer(text):
                value = match["bare"]
                yield Candidate(match.start("bare"), match.end("bare"), value, key or match["key"], quoted=False)
