"""Validation against real sockets: which hosts are reached, what of their answers counts, what DNS says."""

from __future__ import annotations

import asyncio
import socket
import ssl
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path

import httpcore
import pytest

from tests.support.dns import Zone, zone
from tradewarden.acme.looks import Looks
from tradewarden.acme.order import Challenge
from tradewarden.acme.problem import AcmeError, Identifier, Kind
from tradewarden.acme.reach import Reach, Rules
from tradewarden.acme.resolver import Resolver

NAME = "web.test.internal"
TOKEN, THUMBPRINT = "token", "thumbprint"
GOOD = b"token.thumbprint"
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\ntoken.thumbprint"


@pytest.fixture
def names() -> Iterator[Zone]:
    """A DNS server that knows one name on loopback."""
    with zone() as made:
        made.put(NAME, "A", "127.0.0.1")
        yield made


def server_of(made: Zone) -> tuple[str, int]:
    """Return where a DNS server answers."""
    host, _, port = made.address.partition(":")
    return host, int(port)


@asynccontextmanager
async def web(*answers: bytes, context: ssl.SSLContext | None = None) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Answer one request after the other; gives the port and what was asked."""
    asked: list[bytes] = []
    left = list(answers)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(left.pop(0) if len(left) > 1 else left[0])
        try:
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        except OSError:
            pass

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1], asked


async def look(
    made: Zone, port: int, kind: str = "http-01", host: str = NAME, *, near: bool = True, ours: tuple[int, ...] = ()
) -> None:
    """Look at a challenge as the service does."""
    resolver = Resolver(server_of(made))
    looks = Looks(Reach(resolver, Rules(ours, near)), resolver, port)
    identifier = Identifier("ip" if host[0].isdigit() or ":" in host else "dns", host)
    await looks.at(Challenge(kind, TOKEN), identifier, THUMBPRINT)


async def refusal(made: Zone, port: int, **how: object) -> AcmeError:
    """Return why a challenge is not met."""
    with pytest.raises(AcmeError) as error:
        await look(made, port, **how)  # type: ignore[arg-type]
    return error.value


async def test_a_host_that_answers_the_key_authorization_is_proven(names: Zone) -> None:
    """The well-known path is asked for under the host's own name; white space behind the answer does not count."""
    for answer in (WHOLE, b"HTTP/1.1 200 OK\r\n\r\n" + GOOD + b"\r\n"):
        async with web(answer) as (port, asked):
            await look(names, port)
            assert asked[0].startswith(b"GET /.well-known/acme-challenge/token HTTP/1.1\r\n")
            assert f"Host: {NAME}:{port}\r\n".encode() in asked[0]
            await look(names, port, host="127.0.0.1")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", Kind.UNAUTHORIZED),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong", Kind.INCORRECT_RESPONSE),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100_000, Kind.INCORRECT_RESPONSE),
        (b"", Kind.CONNECTION),
        (b"SSH-2.0-OpenSSH\r\n", Kind.CONNECTION),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nshort", Kind.CONNECTION),
        (b"HTTP/1.1 302 Found\r\nLocation: ftp://web.test.internal/\r\n\r\n", Kind.CONNECTION),
        (b"HTTP/1.1 302 Found\r\nLocation: http://web.test.internal:1/\r\n\r\n", Kind.CONNECTION),
        (b"HTTP/1.1 302 Found\r\nLocation: http://user@web.test.internal/\r\n\r\n", Kind.CONNECTION),
        (b"HTTP/1.1 302 Found\r\nLocation: http://[/\r\n\r\n", Kind.CONNECTION),
        (b"HTTP/1.1 302 Found\r\n\r\n", Kind.CONNECTION),
        (b"HTTP/1.1 302 Found\r\nLocation: /again\r\n\r\n", Kind.CONNECTION),
    ],
    ids=[
        "404",
        "another text",
        "endless",
        "nothing",
        "another protocol",
        "cut off",
        "to ftp",
        "to another port",
        "with a login",
        "to no address",
        "nowhere",
        "in a ring",
    ],
)
async def test_any_other_answer_proves_nothing(names: Zone, answer: bytes, kind: Kind) -> None:
    """Errors, other texts, endless bodies, other protocols and redirects that lead elsewhere or nowhere are refused."""
    async with web(answer) as (port, asked):
        error = await refusal(names, port)
    assert error.kind is kind
    assert "wrong" not in error.detail
    assert ("more than 4096 bytes" in error.detail) == (len(answer) > 4096)
    assert len(asked) <= 6


async def test_a_redirect_is_followed_to_a_usual_place(names: Zone) -> None:
    """A redirect to another path or host at the same port is followed, and resolved anew."""
    names.put("other.test.internal", "A", "127.0.0.1")
    async with web(b"", WHOLE) as (port, asked):
        moved = f"HTTP/1.1 301 Moved\r\nLocation: http://other.test.internal:{port}/here\r\n\r\n".encode()
        async with web(moved) as (first, _):
            error = await refusal(names, first)
            assert "another scheme or port" in error.detail
        assert asked == []
    async with web(b"HTTP/1.1 307 Moved\r\nLocation: /here\r\n\r\n", WHOLE) as (port, asked):
        await look(names, port)
        assert asked[1].startswith(b"GET /here HTTP/1.1\r\n")


async def test_our_own_listener_is_never_asked(names: Zone) -> None:
    """A host that points back to the service is not connected to, in development neither."""
    async with web(WHOLE) as (port, asked):
        error = await refusal(names, port, ours=(port,))
        assert (error.kind, asked) == (Kind.CONNECTION, [])


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.9.9.9",
        "169.254.169.254",
        "169.254.1.1",
        "168.63.129.16",
        "100.100.100.200",
        "0.0.0.0",  # noqa: S104 - an address that is refused
        "224.0.0.1",
        "::1",
        "::ffff:127.0.0.1",
        "fe80::1",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "::169.254.169.254",
        "::ffff:0:127.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b::7f00:1",
        "64:ff9b:1:7f00:0:100::",
        "64:ff9b:1:7f:0:1::",
        "64:ff9b:1:0:7f:0:100:0",
        "64:ff9b:1::a9fe:a9fe",
        "2002:a9fe:a9fe::",
        "2002:7f00:1::1",
        "2001:0:7f00:1::",
        "2001:0:c000:201::80ff:fffe",
        "2001:db8::5efe:127.0.0.1",
    ],
)
async def test_what_is_not_reached_outside_development(names: Zone, address: str) -> None:
    """Loopback, links and the places where clouds hand out credentials are refused, by name and as they are."""
    names.put("evil.test.internal", "AAAA" if ":" in address else "A", address)
    for host in ("evil.test.internal", address):
        error = await refusal(names, 80, host=host, near=False)
        assert "not looked at" in error.detail


@pytest.mark.parametrize("address", ["169.254.170.2", "169.254.170.23", "fd00:ec2::23", "64:ff9b::a9fe:a9fe"])
async def test_credentials_of_clouds_are_not_reached_in_development_either(names: Zone, address: str) -> None:
    """What is near may be reached there; where clouds hand out credentials may not."""
    error = await refusal(names, 80, host=address)
    assert "not looked at" in error.detail


@pytest.mark.parametrize(
    "address",
    [
        "64:ff9b::c000:201",
        "64:ff9b:1:a00:0:500::",
        "64:ff9b:1::a00:5",
        "2002:c000:201::1",
        "fd00:1::1",
        "fd20:1::1",
        "2001:db8::1",
    ],
)
async def test_what_stands_for_a_good_address_is_reached(names: Zone, address: str) -> None:
    """A translated address of another host, and a private one, are connected to like any other."""
    tried: list[str] = []

    class Silent:
        async def connect_tcp(self, host: str, *rest: object) -> None:
            del rest
            tried.append(host)
            raise httpcore.ConnectError

    reach = Reach(Resolver(server_of(names)), Rules((), near=False))
    reach._inner = Silent()  # type: ignore[assignment]
    with pytest.raises(AcmeError, match="does not answer"):
        await reach.connect_tcp(address, 80)
    assert tried == [address]


async def test_a_name_without_an_address_is_told_so(names: Zone) -> None:
    """Unknown names and a DNS server that does not answer have their own problems."""
    assert "no address" in (await refusal(names, 80, host="nobody.test.internal")).detail
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        resolver = Resolver(("127.0.0.1", silent.getsockname()[1]))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tradewarden.acme.resolver._SECONDS", 0.3)
            with pytest.raises(AcmeError) as error:
                await resolver.addresses(NAME)
    assert error.value.kind is Kind.DNS


def digest() -> str:
    """Return the TXT value of a dns-01 challenge (RFC 8555 section 8.4)."""
    return urlsafe_b64encode(sha256(GOOD).digest()).rstrip(b"=").decode()


async def test_a_txt_record_proves_a_name(names: Zone) -> None:
    """One of several records is enough, and an alias is followed where it points."""
    names.put(f"_acme-challenge.{NAME}", "TXT", '"other"', f'"{digest()}"')
    await look(names, 80, "dns-01")
    names.put(f"_acme-challenge.{NAME}", "TXT")
    names.put(f"_acme-challenge.{NAME}", "CNAME", "proofs.example.")
    names.put("proofs.example", "CNAME", "deep.example.")
    names.put("deep.example", "TXT", f'"{digest()[:20]}" "{digest()[20:]}"')
    await look(names, 80, "dns-01")


async def test_other_txt_records_prove_nothing(names: Zone) -> None:
    """No record, another one, and aliases in a ring are refused by their types."""
    assert (await refusal(names, 80, kind="dns-01")).kind is Kind.DNS
    names.put(f"_acme-challenge.{NAME}", "TXT", f'"{digest()} "')
    assert (await refusal(names, 80, kind="dns-01")).kind is Kind.INCORRECT_RESPONSE
    names.put(f"_acme-challenge.{NAME}", "TXT")
    names.put(f"_acme-challenge.{NAME}", "CNAME", "a.example.")
    names.put("a.example", "CNAME", "b.example.")
    names.put("b.example", "CNAME", "a.example.")
    assert (await refusal(names, 80, kind="dns-01")).kind is Kind.DNS


async def test_the_machines_own_resolver_is_asked_without_a_server(tmp_path: Path) -> None:
    """Without a DNS server in the settings, names are found as every program here finds them."""
    assert "127.0.0.1" in map(str, await Resolver(None).addresses("localhost"))
    with pytest.raises(AcmeError):
        await Resolver(None).addresses("nobody.invalid")
