"""Drives one rotator over secrets in memory, step by step, as the engine does; also again and again after a kill."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tradewarden.errors import RotationFailedError
from tradewarden.secrets.rotation.rotator import Job

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from tradewarden.secrets.rotation.rotator import Rotator

STEPS = ("create", "set", "test", "promote", "finish")


class Drive:
    """A secret under rotation. `versions` are its values, the last one current; `others` what else can be read."""

    def __init__(
        self,
        rotator: Rotator,
        parameters: Mapping[str, str],
        current: dict[str, object] | None = None,
        others: Mapping[str, dict[str, object]] | None = None,
    ) -> None:
        self.rotator = rotator
        self.parameters = dict(parameters)
        self.versions = [] if current is None else [current]
        self.others = dict(others or {})
        self.supplied: dict[str, object] | None = None
        self.urgent = False
        self.pending: dict[str, object] | None = None
        self._base = 0
        self._runs = 0

    @property
    def current(self) -> dict[str, object]:
        """The value in use."""
        return self.versions[-1]

    async def read(self, path: str) -> Mapping[str, object]:
        """Read another secret."""
        if path not in self.others:
            raise RotationFailedError(f"The rotation needs secret '{path}', which is not there")
        return self.others[path]

    def begin(self) -> None:
        """Begin a rotation."""
        self._base, self.pending = len(self.versions), None
        self._runs += 1

    def job(self) -> Job:
        """Return the job as it stands."""
        return Job(
            f"run-{self._runs}",
            "trading/secret",
            self.parameters,
            self.versions[self._base - 1] if self._base else None,
            self.versions[self._base - 2] if self._base > 1 else None,
            self.pending,
            self.supplied,
            self.urgent,
            self.versions[-1] if self.versions else None,
        )

    async def step(self, name: str, *, record: bool = True) -> None:
        """Carry out a step; without `record` the process is killed before it is known to be done."""
        if name == "promote":
            assert self.pending is not None
            if len(self.versions) == self._base:
                self.versions.append(self.pending)
            return
        if name == "create":
            made = await self.rotator.create(self.job(), self.read)
            self.pending = made if record else self.pending
            return
        await getattr(self.rotator, name)(self.job(), self.read)

    async def rotate(self, *, repeat: int = 1, watch: Callable[[], Awaitable[None]] | None = None) -> None:
        """Rotate once; each step is carried out `repeat` times, and `watch` is awaited after each."""
        self.begin()
        for name in STEPS:
            for turn in range(repeat):
                await self.step(name, record=turn == repeat - 1)
                if watch is not None:
                    await watch()
