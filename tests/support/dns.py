"""A tiny DNS server on loopback: what names it is given, and nothing else."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset


class Zone:
    """Names and their records, changed while it serves: `zone.put("bot.test", "A", "127.0.0.1")`."""

    def __init__(self) -> None:
        self._records: dict[tuple[dns.name.Name, str], list[str]] = {}
        self._file: Path | None = None
        self.asked: list[str] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))

    @property
    def address(self) -> str:
        """Where it answers, as `TRADEWARDEN_ACME_DNS` takes it."""
        return f"127.0.0.1:{self._socket.getsockname()[1]}"

    def put(self, name: str, kind: str, *values: str) -> None:
        """Replace the records of a name; none take it away."""
        self._records[dns.name.from_text(name), kind] = list(values)

    def follow(self, file: Path) -> None:
        """Take TXT records from a file too, which others append to: a name and a value a line, no value for none."""
        self._file = file

    def _from_file(self) -> None:
        for line in self._file.read_text().splitlines() if self._file else ():
            name, _, value = line.partition(" ")
            self.put(name, "TXT", *([f'"{value}"'] if value else []))

    def serve(self) -> None:
        """Answer until an empty packet comes."""
        with self._socket:
            while True:
                wire, client = self._socket.recvfrom(4096)
                if not wire:
                    return
                self._socket.sendto(self.answer(wire), client)

    def answer(self, wire: bytes) -> bytes:
        """Return the answer to one question; an alias is told and not followed, as by a server of one zone."""
        self._from_file()
        query = dns.message.from_wire(wire)
        asked = query.question[0]
        kind = dns.rdatatype.to_text(asked.rdtype)
        self.asked.append(f"{asked.name.to_text()} {kind}")
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.AA
        known = {name for name, _ in self._records}
        for found in (kind, "CNAME"):
            values = self._records.get((asked.name, found))
            if values:
                answer.answer.append(dns.rrset.from_text(asked.name, 1, "IN", found, *values))
                break
        if asked.name not in known:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        return answer.to_wire()

    def close(self) -> None:
        """Answer no more."""
        self._socket.sendto(b"", self._socket.getsockname())


@contextmanager
def zone() -> Iterator[Zone]:
    """Give a server for as long as the block runs."""
    made = Zone()
    thread = threading.Thread(target=made.serve, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.close()
        thread.join(5)
