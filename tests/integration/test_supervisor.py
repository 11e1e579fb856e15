"""The supervisor with real processes: death of any of them, readiness, and every way to end."""

from __future__ import annotations

import concurrent.futures
import os
import re
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.support.http import Supervised, alive, get, supervised, wait_for
from tradewarden.errors import ConfigurationError
from tradewarden.http import supervisor
from tradewarden.http.binding import Place, bind_all, close_all
from tradewarden.http.child import DEATHS


def _ready(service: Supervised) -> dict[str, int]:
    wait_for(lambda: "\nready\n" in service.output.read_text())
    return service.pids()


def _ended(service: Supervised, seconds: float = 10.0) -> int:
    return service.process.wait(seconds)


def test_workers_and_a_clerk_start_and_ready_is_told_once(tmp_path: Path) -> None:
    """Two workers and one clerk at its own niceness run, and readiness is announced when all are there."""
    with supervised(tmp_path) as service:
        pids = _ready(service)
        assert set(pids) == {"worker-0", "worker-1", "clerk"}
        assert get(service.port, "/").json()["nice"] == os.nice(0)
        output = service.output.read_text()
        assert f"clerk nice {os.nice(0) + supervisor._CLERK_NICE}" in output
        assert output.count("\nready\n") == 1


def test_nothing_is_forked_beside_a_thread_that_has_not_quite_ended(tmp_path: Path) -> None:
    """What a library frees when a thread ends is under its locks; a fork in between would hang on them for ever."""
    with supervised(tmp_path, mode="lingering") as service:
        _ready(service)
        output = service.output.read_text()
        assert output.count("threads beside the fork 0\n") == 2, output


@pytest.mark.parametrize("mode", ["", "kernel", "portable"])
def test_no_child_outlives_a_killed_supervisor(tmp_path: Path, mode: str) -> None:
    """After SIGKILL of the supervisor its children are gone within a second, by the kernel's word or by the pipe's."""
    with supervised(tmp_path, mode=mode) as service:
        pids = _ready(service)
        service.process.kill()
        wait_for(lambda: not any(map(alive, pids.values())), 1.0)
        close_all(*bind_all([Place("127.0.0.1", service.port)]))


def test_a_killed_worker_is_replaced_while_the_other_serves(tmp_path: Path) -> None:
    """After SIGKILL of one worker every new request is answered, and a successor takes its place."""
    with supervised(tmp_path) as service:
        before = _ready(service)
        os.kill(before["worker-0"], signal.SIGKILL)
        for _ in range(20):
            assert get(service.port, "/").status == 200
        wait_for(lambda: service.pids()["worker-0"] != before["worker-0"])
        wait_for(lambda: get(service.port, "/").json()["pid"] == service.pids()["worker-0"])
        assert service.pids()["worker-1"] == before["worker-1"]


def test_a_killed_clerk_is_replaced(tmp_path: Path) -> None:
    """The clerk is as replaceable as a worker."""
    with supervised(tmp_path, workers=1) as service:
        before = _ready(service)
        os.kill(before["clerk"], signal.SIGKILL)
        wait_for(lambda: service.pids()["clerk"] != before["clerk"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_answers_what_runs_and_exits_with_0(tmp_path: Path, number: signal.Signals) -> None:
    """A request under way is answered after the stop signal; the clerk ends last; the port is free."""
    with supervised(tmp_path) as service, concurrent.futures.ThreadPoolExecutor() as pool:
        _ready(service)
        slow = pool.submit(get, service.port, "/slow?seconds=0.6")
        wait_for(lambda: "slow begins" in service.output.read_text())
        service.process.send_signal(number)
        assert slow.result().status == 200
        assert _ended(service) == 0
        assert "clerk ends" in service.output.read_text()
        close_all(*bind_all([Place("127.0.0.1", service.port)]))


def test_signals_that_come_together_are_one(tmp_path: Path) -> None:
    """A stop that reaches the service twice, from its terminal and from make, still answers what runs."""
    with supervised(tmp_path) as service, concurrent.futures.ThreadPoolExecutor() as pool:
        _ready(service)
        slow = pool.submit(get, service.port, "/slow?seconds=0.6")
        wait_for(lambda: "slow begins" in service.output.read_text())
        service.process.terminate()
        wait_for(lambda: not accepts(service.port))
        service.process.terminate()
        assert slow.result().status == 200
        assert _ended(service) == 0


def test_nobody_takes_connections_any_more_while_the_last_are_answered(tmp_path: Path) -> None:
    """After a stop a client is refused at once, not connected and left without an answer, whoever lives on."""
    with supervised(tmp_path) as service, concurrent.futures.ThreadPoolExecutor() as pool:
        pids = _ready(service)
        slow = pool.submit(get, service.port, "/slow?seconds=2")
        wait_for(lambda: "slow begins" in service.output.read_text())
        service.process.terminate()
        wait_for(lambda: not accepts(service.port), 1.5)
        assert alive(pids["clerk"])
        assert slow.result().status == 200
        assert _ended(service) == 0


def accepts(port: int) -> bool:
    """Tell whether a connection is taken."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except ConnectionRefusedError:
        return False
    return True


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    """Who asks twice is not kept waiting; the exit code says that something was killed."""
    with supervised(tmp_path) as service, concurrent.futures.ThreadPoolExecutor() as pool:
        pids = _ready(service)
        slow = pool.submit(get, service.port, "/slow?seconds=4")
        wait_for(lambda: "slow begins" in service.output.read_text())
        started = time.monotonic()
        service.process.terminate()
        time.sleep(supervisor._ONE_STOP_SECONDS + 0.1)
        service.process.terminate()
        assert _ended(service) == 1
        assert time.monotonic() - started < 3
        assert "killing what had not ended at the second signal: worker-" in service.output.read_text()
        assert not any(map(alive, pids.values()))
        with pytest.raises((OSError, IndexError)):
            slow.result()


def test_a_hangup_ends_nothing(tmp_path: Path) -> None:
    """SIGHUP, as a closed terminal sends it, is ignored by the supervisor and its children."""
    with supervised(tmp_path) as service:
        pids = _ready(service)
        for pid in (service.process.pid, *pids.values()):
            os.kill(pid, signal.SIGHUP)
        assert get(service.port, "/").status == 200
        assert service.pids() == pids


def test_it_gives_up_on_a_child_that_keeps_dying(tmp_path: Path) -> None:
    """Five deaths within ten seconds end the service with exit code 70 and a line that says so."""
    with supervised(tmp_path, workers=1, mode="crash") as service:
        assert _ended(service) == 70
        assert "worker-0 died 5 times within 10 s; giving up" in service.output.read_text()
        assert not alive(service.pids()["clerk"])


def test_a_configuration_mistake_is_not_tried_again(tmp_path: Path) -> None:
    """A child that finds the configuration unusable ends the service with exit code 78, and once."""
    with supervised(tmp_path, workers=1, mode="misconfigured") as service:
        assert _ended(service) == 78
        assert service.output.read_text().count("child worker-0") == 1
        assert "TRADEWARDEN_ROOT_KEY: made up" in service.output.read_text()


@pytest.mark.parametrize("what", ["storage", "disk", "configuration", "fork"])
def test_a_successor_that_cannot_start_is_tried_again_while_the_others_serve(tmp_path: Path, what: str) -> None:
    """What keeps a successor from starting is told once and ends nothing; when it is over, the successor is there."""
    hindrance = tmp_path / "hindrance"
    with supervised(tmp_path, mode=f"{what}:{hindrance}") as service:
        before = _ready(service)
        hindrance.touch()
        os.kill(before["worker-0"], signal.SIGKILL)
        until = time.monotonic() + 2.5  # five quick deaths, which end a service, take less than one second
        while time.monotonic() < until:
            assert service.process.poll() is None, service.output.read_text()
            assert get(service.port, "/").json()["pid"] == before["worker-1"]
            time.sleep(0.02)
        assert what == "fork" or service.output.read_text().count("child worker-0 ") > DEATHS
        hindrance.unlink()
        wait_for(lambda: "could not start has started" in service.output.read_text())
        wait_for(lambda: get(service.port, "/").json()["pid"] == service.pids()["worker-0"])
        assert {**service.pids(), "worker-0": 0} == {**before, "worker-0": 0}
        output = service.output.read_text()
        assert output.count("error a child process cannot start") == 1
        assert output.count("'child': 'worker-0', 'mistakes'") == (what == "configuration")
        assert output.count("error the process failed") == (what in ("storage", "disk"))
        service.process.terminate()
        assert _ended(service) == 0


@pytest.mark.parametrize("what", ["storage", "disk"])
def test_a_service_that_never_was_ready_gives_up(tmp_path: Path, what: str) -> None:
    """A first start for which something is missing is not tried for ever."""
    with supervised(tmp_path, workers=1, mode=f"{what}:{tmp_path}") as service:
        assert _ended(service) == 70
        assert "worker-0 died 5 times within 10 s; giving up" in service.output.read_text()


def test_what_fails_after_it_was_ready_is_a_crash(tmp_path: Path) -> None:
    """An error of the system out of a process that had started counts as a death, and too many end the service."""
    with supervised(tmp_path, workers=1, mode="late") as service:
        assert _ended(service) == 70
        assert "worker-0 died 5 times within 10 s; giving up" in service.output.read_text()


def test_children_do_not_dump_core(tmp_path: Path) -> None:
    """The children have no core dumps and are closed to debuggers of their own user (decision 14)."""
    with supervised(tmp_path, workers=1) as service:
        worker = _ready(service)["worker-0"]
        limits = Path(f"/proc/{worker}/limits").read_text()
        assert "clerk dumpable 0\n" in service.output.read_text()
        assert re.search(r"Max core file size\s+0\s+0", limits)


def test_a_taken_port_is_named_with_its_holder() -> None:
    """Who holds the port is said in the error, which lists every address that cannot be had."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(ConfigurationError) as caught:
            bind_all([Place("127.0.0.1", port), Place("192.0.2.1", port, "TRADEWARDEN_MTLS_PORT")])
    first, second = caught.value.mistakes
    assert f"port {port} on 127.0.0.1 is already in use" in first
    assert f"(process {os.getpid()})" in first
    assert "192.0.2.1" in second


def test_localhost_is_bound_at_all_its_addresses_on_one_port() -> None:
    """A name with several addresses listens at each, on the same port."""
    (sockets,) = bind_all([Place("localhost", 0)])
    try:
        assert len({each.getsockname()[1] for each in sockets}) == 1
    finally:
        close_all(sockets)
