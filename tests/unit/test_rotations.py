"""Rotation of secrets: the way through, failures, kills at every point, two workers, rights, the audit log."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import msgspec
import pytest
from msgspec.structs import replace

from tests.support.rotations import PATH, KilledError, Rotating, rotating
from tests.support.secrets import may
from tradewarden.errors import (
    ConflictError,
    IntegrityError,
    InvalidInputError,
    NotFoundError,
    PermissionDeniedError,
    RotationFailedError,
    RotationWaitsError,
    UnavailableError,
)
from tradewarden.secrets.commands import PickVersions, SetSecretMetadata
from tradewarden.secrets.rotation.commands import ListRotations, RunRotation, SetPolicy
from tradewarden.secrets.rotation.machine import LEASE_SECONDS, Step
from tradewarden.secrets.rotation.rotations import ROTATE
from tradewarden.secrets.rotation.store import State


def events(made: Rotating) -> list[dict[str, object]]:
    """Return the audit entries of all changes, then those of the journal."""
    return [msgspec.json.decode(line) for line in [*made.database.inbox, *made.room.journal.events]]


async def shown(made: Rotating, *, due: bool = False):  # type: ignore[no-untyped-def]  # noqa: ANN201
    """Return the only rotation that is listed."""
    page = await made.rotations.list(may(ROTATE), ListRotations(due=due))
    (found,) = page.rotations
    return found


# -- the way through -----------------------------------------------------------------------------


async def test_a_rotation_puts_a_new_value_in_the_place_of_the_old_one() -> None:
    """The new value is current, the old one is the version before, and the other side takes the new one alone."""
    made = await rotating()
    await made.policy()
    done = await made.run()
    assert (done.version, done.previous_version, done.resumed) == (2, 1, False)
    assert await made.current() == "new-1"
    assert await made.room.value(PATH, 1) == {"password": "first"}
    assert made.other.accepted == {"new-1"}
    assert made.other.steps == ["create", "set", "test", "finish"]


async def test_every_step_has_the_same_job() -> None:
    """Id, current and previous value stay what they were when the rotation began, at the last step too."""
    made = await rotating()
    await made.policy(parameters={"user": "app"})
    await made.run()
    made.other.jobs.clear()
    await made.run()
    assert len({job.id for job in made.other.jobs}) == 1
    assert all(job.current == {"password": "new-1"} for job in made.other.jobs)
    assert all(job.previous == {"password": "first"} for job in made.other.jobs)
    assert [job.pending for job in made.other.jobs] == [None, *[{"password": "new-2"}] * 3]
    assert {tuple(job.parameters.items()) for job in made.other.jobs} == {(("user", "app"),)}


async def test_a_secret_that_is_not_there_gets_its_first_value() -> None:
    """A policy for a path without a secret makes its first version."""
    made = await rotating(first=False)
    await made.policy()
    done = await made.run()
    assert (done.version, done.previous_version) == (1, None)
    assert made.other.jobs[0].current is None


async def test_each_step_leaves_an_entry_before_the_next() -> None:
    """The log tells of the beginning, each step, the write and the end, with digests and without a value."""
    made = await rotating()
    await made.policy()
    await made.run()
    mine = [each for each in events(made) if "rotation " in str(each.get("reason", ""))]
    reasons = [str(each["reason"]).partition(": ")[2] for each in mine]
    assert reasons == [
        "begun at version 1",
        "create is done",
        "set is done",
        "test is done",
        "",
        "promote is done, version 2",
        "finished, version 2 in the place of 1",
    ]
    assert [each["action"] for each in mine] == ["rotate"] * 4 + ["write"] + ["rotate"] * 2
    assert all(each["rows"] and each["resource"] == PATH for each in mine)
    assert b"new-1" not in b"".join([*made.database.inbox, *made.room.journal.events])


async def test_no_row_holds_a_value_that_can_be_read() -> None:
    """The new value and what an operator supplied stand encrypted, and go with the end of the run."""
    made = await rotating(automatic=False)
    await made.policy()
    made.other.error = UnavailableError("the database does not answer")
    with pytest.raises(UnavailableError):
        await made.run({"password": "given"})
    made.other.error = None
    made.faults.at = len(made.faults.passed) + 6  # after `create` was recorded
    with pytest.raises(KilledError):
        await made.run()
    row = (await made.store.read(PATH)).run
    assert row is not None
    assert row.supplied
    assert row.pending
    assert b"given" not in msgspec.msgpack.encode(row)
    assert "given" not in repr(RunRotation(PATH, {"password": "given"}))
    made.clock.time += LEASE_SECONDS
    await made.run()
    assert (await made.store.read(PATH)).run is None
    assert await made.current() == "given"


# -- kills ---------------------------------------------------------------------------------------


RECORDS = 6
"""How often a rotation is recorded: at its beginning, and after each of its five steps."""


async def run_killed_at(point: int) -> tuple[Rotating, str]:
    """Rotate, killed at a point, then once more by another process; return where it was killed, empty: nowhere."""
    made = await rotating()
    await made.policy()
    made.faults.passed.clear()
    made.faults.at = point
    killed = ""
    try:
        await made.run()
    except KilledError as error:
        killed = str(error)
        assert await made.current() in made.other.accepted, f"no working value after a kill {killed}"
        made.rotations = made.worker()
        made.clock.time += LEASE_SECONDS
        if (await made.store.read(PATH)).run is not None or not made.other.made:
            await made.run()
    return made, killed


async def test_killed_at_any_point_it_goes_on_there() -> None:
    """After a kill at every point the next run ends it: one new version, nothing lost, no moment without a value."""
    killed_at = []
    for point in range(1, 100):
        made, killed = await run_killed_at(point)
        if not killed:
            break
        killed_at.append(killed)
        assert made.other.accepted == {await made.current()}, (killed, point)
        versions = await made.room.secrets.metadata(may("secrets:read", PATH), PATH)
        assert versions.current_version == 2, (killed, point)
        assert (await made.store.read(PATH)).run is None
    assert {"before put", "after put", "before finish", "after finish", "after create"} <= set(killed_at)
    assert killed_at.count("before record") == killed_at.count("after record") == RECORDS


async def test_a_finished_step_is_not_carried_out_again() -> None:
    """Whoever goes on begins with the step that was not recorded."""
    made = await rotating()
    await made.policy()
    made.other.error = None
    made.faults.passed.clear()
    made.faults.at = made_until = 11  # begun, create, set: recorded; before test
    with pytest.raises(KilledError):
        await made.run()
    assert made.faults.passed[made_until - 1] == "before test", made.faults.passed
    made.clock.time += LEASE_SECONDS
    done = await made.run()
    assert done.resumed
    assert made.other.steps == ["create", "set", "test", "finish"]


# -- two at once ---------------------------------------------------------------------------------


async def test_two_workers_never_work_on_the_same_rotation() -> None:
    """While one holds the lease the other is refused, and every step is carried out once."""
    made = await rotating()
    await made.policy()
    entered, go = asyncio.Event(), asyncio.Event()
    carry_out = made.other.set

    async def slow(job, read) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
        entered.set()
        await go.wait()
        await carry_out(job, read)

    made.other.set = slow  # type: ignore[method-assign]
    first = asyncio.create_task(made.run())
    await entered.wait()
    with pytest.raises(ConflictError, match="just now"):
        await made.worker().run(may(ROTATE, PATH), RunRotation(PATH), made.room.entry())
    with pytest.raises(ConflictError, match="just now"):
        await made.worker().abandon(may(ROTATE, PATH), PATH, made.room.entry())
    go.set()
    await first
    assert made.other.steps == ["create", "set", "test", "finish"]


async def test_a_worker_that_lost_its_lease_writes_nothing_more() -> None:
    """Who was asleep for longer than its lease finds that its epoch is over."""
    made = await rotating()
    await made.policy()
    entered, go = asyncio.Event(), asyncio.Event()
    carry_out = made.other.set
    waited: list[bool] = []

    async def slow(job, read) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
        await carry_out(job, read)
        if not waited:
            waited.append(True)
            entered.set()
            await go.wait()

    made.other.set = slow  # type: ignore[method-assign]
    first = asyncio.create_task(made.run())
    await entered.wait()
    made.clock.time += LEASE_SECONDS
    done = await made.worker().run(may(ROTATE, PATH), RunRotation(PATH), made.room.entry())
    assert done.version == 2
    go.set()
    with pytest.raises(ConflictError):
        await first
    assert await made.current() == "new-1"
    assert made.other.accepted == {"new-1"}


async def test_a_write_by_somebody_else_is_not_written_over() -> None:
    """Who writes the secret while it is rotated keeps his version; the new value waits until an operator looked."""
    made = await rotating()
    await made.policy()
    test = made.other.test

    async def meddled(job, read) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
        await test(job, read)
        await made.room.put(PATH, {"password": "by hand"})

    made.other.test = meddled  # type: ignore[method-assign]
    with pytest.raises(RotationFailedError, match="somebody else"):
        await made.run()
    assert await made.current() == "by hand"
    found = await shown(made)
    assert (found.state, found.step, found.failures) == ("stopped", "promote", 1)
    assert (found.next_at, "by itself" in found.waits) == (None, False)
    with pytest.raises(RotationFailedError, match="somebody else"):
        await made.run()
    given_up = await made.rotations.abandon(may(ROTATE, PATH), PATH, made.room.entry())
    assert (given_up.step, given_up.current_version) == ("promote", 2)
    assert "still good" not in given_up.advice
    made.other.test = test  # type: ignore[method-assign]
    assert (await made.run()).version == 3


async def test_a_write_in_the_moment_of_the_promotion_is_not_written_over() -> None:
    """The new version is put with compare-and-set, so a write between the look and the put wins."""
    made = await rotating()
    await made.policy()
    put = made.room.secrets.put
    meddled: list[bool] = []

    async def late(grant, command, entry):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        if not meddled:
            meddled.append(True)
            await made.room.put(PATH, {"password": "by hand"})
        return await put(grant, command, entry)

    made.room.secrets.put = late  # type: ignore[method-assign]
    with pytest.raises(RotationFailedError, match="somebody else"):
        await made.run()
    assert await made.current() == "by hand"


# -- failures ------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [UnavailableError("no answer"), RotationFailedError("the role is gone")])
async def test_a_step_that_fails_leaves_the_old_value_current(error: Exception) -> None:
    """A failure is raised, noted with its text and counted; the next run goes on at that step."""
    made = await rotating()
    await made.policy()
    carry_out = made.other.test

    async def fails(job, read) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
        raise error

    made.other.test = fails  # type: ignore[method-assign]
    with pytest.raises(type(error)):
        await made.run()
    assert await made.current() == "first"
    found = await shown(made)
    assert (found.state, found.step, found.failures, found.reason) == ("stopped", "test", 1, str(error))
    failed = [each for each in events(made) if each["result"] == "failure"]
    assert len(failed) == 2
    assert failed[0]["rows"]
    assert "step test" in str(failed[0]["reason"])
    made.other.test = carry_out  # type: ignore[method-assign]
    assert (await made.run()).resumed
    assert (await shown(made)).failures == 0


async def test_a_last_known_value_is_never_taken_for_the_current_one() -> None:
    """What a secrets room tells from memory during an outage decides nothing: the rotation waits."""
    made = await rotating()
    await made.policy()
    get = made.room.secrets.get

    async def stale(grant, path, version=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        return replace(await get(grant, path, version), stale_since=1.0)

    made.room.secrets.get = stale  # type: ignore[method-assign]
    with pytest.raises(UnavailableError, match="cannot be reached"):
        await made.run()
    assert made.other.steps == []


async def test_an_unforeseen_error_shows_no_value() -> None:
    """What a rotator raises and is not ours becomes a failure that names the kind of error alone."""
    made = await rotating()
    await made.policy()
    made.other.error = ValueError("password 'new-1' is bad")
    with pytest.raises(RotationFailedError, match="ValueError") as raised:
        await made.run()
    assert "new-1" not in str(raised.value)
    assert b"new-1" not in b"".join([*made.database.inbox, *made.room.journal.events])


async def test_a_step_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step has a time limit below the lease; what does not end within it waits at its step."""
    made = await rotating()
    await made.policy()
    monkeypatch.setattr("tradewarden.secrets.rotation.machine.STEP_SECONDS", 0.01)

    async def hangs(job, read) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
        await asyncio.Event().wait()

    made.other.set = hangs  # type: ignore[method-assign]
    with pytest.raises(UnavailableError, match="did not end in time"):
        await made.run()
    assert (await shown(made)).step == "set"


async def test_a_cancelled_caller_lets_the_run_go() -> None:
    """Who goes away in the middle of a step leaves a run that the next one takes up at once."""
    made = await rotating()
    await made.policy()
    entered, carry_out = asyncio.Event(), made.other.set

    async def hangs(job, read) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
        entered.set()
        await asyncio.Event().wait()

    made.other.set = hangs  # type: ignore[method-assign]
    task = asyncio.create_task(made.run())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    made.other.set = carry_out  # type: ignore[method-assign]
    assert (await made.run()).resumed


@pytest.mark.parametrize("before", ["begun", "create is done", "promote is done"])
async def test_a_caller_that_goes_away_while_something_is_recorded_lets_go(before: str) -> None:
    """A record that is written all the same while its caller is cancelled keeps nobody waiting for the lease."""
    made = await rotating()
    await made.policy()
    change = made.store.change
    cancelled: list[str] = []

    async def late(path, decide):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        answer = await change(path, decide)
        if not cancelled and before.encode() in made.database.inbox[-1]:
            cancelled.append(before)
            raise asyncio.CancelledError
        return answer

    made.store.change = late  # type: ignore[method-assign]
    with pytest.raises(asyncio.CancelledError):
        await made.run()
    assert (await made.run()).resumed
    assert made.other.accepted == {"new-1"}


async def test_an_abandoned_rotation_leaves_the_current_value() -> None:
    """Giving up says what may be left at the other side, and the next rotation begins anew."""
    made = await rotating()
    await made.policy()
    made.other.error = RotationFailedError("no")
    with pytest.raises(RotationFailedError):
        await made.run()
    given_up = await made.rotations.abandon(may(ROTATE, PATH), PATH, made.room.entry())
    assert (given_up.step, given_up.advice) == ("create", "Nothing was changed anywhere.")
    assert await made.current() == "first"
    with pytest.raises(NotFoundError):
        await made.rotations.abandon(may(ROTATE, PATH), PATH, made.room.entry())
    made.other.error = None
    assert not (await made.run()).resumed


async def test_a_value_that_is_current_already_is_not_abandoned() -> None:
    """Killed between writing the version and recording it, a rotation can be resumed and not abandoned."""
    made = await rotating()
    await made.policy()
    made.faults.passed.clear()
    point = (await _points(made)).index("after put") + 1
    made.faults.passed.clear()
    made.faults.at = point
    with pytest.raises(KilledError):
        await made.run()
    made.clock.time += LEASE_SECONDS
    with pytest.raises(ConflictError, match="current already"):
        await made.rotations.abandon(may(ROTATE, PATH), PATH, made.room.entry())
    assert (await made.run()).resumed


async def _points(made: Rotating) -> list[str]:
    """Return the points that a whole rotation passes."""
    await made.run()
    return list(made.faults.passed)


async def test_a_deleted_secret_is_not_brought_back() -> None:
    """A rotation of a secret whose current version is deleted is refused, and never begun by itself."""
    made = await rotating()
    await made.policy()
    await made.room.secrets.delete(may("secrets:delete", PATH), PickVersions(PATH), made.room.entry())
    with pytest.raises(RotationFailedError, match="deleted"):
        await made.run()
    made.clock.time += 10_000
    assert await made.tend() == ()
    assert made.other.steps == []
    assert (await shown(made)).waits == "its current version is deleted"
    await made.room.secrets.undelete(may("secrets:write", PATH), PickVersions(PATH, (1,)), made.room.entry())
    made.clock.time += 3600
    await made.tend()
    assert await made.current() == "new-1"


async def test_one_version_is_not_enough() -> None:
    """A secret that keeps one version only is not rotated: the one before it would be lost."""
    made = await rotating()
    await made.policy()
    command = SetSecretMetadata(PATH, max_versions=1)
    await made.room.secrets.set_metadata(may("secrets:write", PATH), command, made.room.entry())
    with pytest.raises(RotationFailedError, match="one version only"):
        await made.run()


# -- guided --------------------------------------------------------------------------------------


async def test_a_guided_rotation_needs_its_values() -> None:
    """Without what an operator must supply nothing begins; with it, the rotator gets it."""
    made = await rotating(automatic=False)
    assert not (await made.policy()).automatic
    with pytest.raises(InvalidInputError, match="supply"):
        await made.run()
    assert (await made.store.read(PATH)).run is None
    await made.run({"password": "given"})
    assert await made.current() == "given"


async def test_what_is_supplied_can_be_replaced_until_it_is_used() -> None:
    """A wrong value can be supplied anew before the first step is done, and not afterwards."""
    made = await rotating(automatic=False)
    await made.policy()
    made.other.error = RotationFailedError("this key has no reading right")
    with pytest.raises(RotationFailedError):
        await made.run({"password": "wrong"})
    made.other.error = None
    test = made.other.test

    async def fails(job, read) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
        raise RotationFailedError("not taken")

    made.other.test = fails  # type: ignore[method-assign]
    with pytest.raises(RotationFailedError):
        await made.run({"password": "right"})
    with pytest.raises(ConflictError, match="abandon"):
        await made.run({"password": "late"})
    made.other.test = test  # type: ignore[method-assign]
    await made.run()
    assert await made.current() == "right"


# -- the grace of the old value -------------------------------------------------------------------


@pytest.mark.parametrize("automatic", [True, False])
async def test_the_old_value_may_have_a_grace(automatic: bool) -> None:
    """The new value is current, the last step waits, and the background carries it out, whoever began the rotation."""
    made = await rotating()
    await made.policy(automatic=automatic)
    made.other.grace = 600.0
    done = await made.run()
    assert (done.version, done.waits) == (2, "the old password has its grace")
    assert await made.current() == "new-1"
    found = await shown(made)
    assert (found.state, found.step, found.failures, found.due) == ("waiting", "finish", 0, False)
    assert (await made.rotations.list(may(ROTATE), ListRotations(due=True))).rotations == ()
    made.clock.time += 599
    assert await made.tend() == ()
    assert made.other.accepted == {"first", "new-1"}
    made.other.grace = 0.0
    made.clock.time += 1
    assert await made.tend() == ()
    assert made.other.accepted == {"new-1"}
    assert (await shown(made)).state == "idle"


async def test_what_waits_for_a_person_is_shown_as_due() -> None:
    """A guided rotation whose last step a person must do something for says what, until it is done."""
    made = await rotating(automatic=False)
    await made.policy()
    made.other.grace = 600.0
    assert (await made.run({"password": "given"})).waits
    found = await shown(made, due=True)
    assert (found.state, found.due) == ("waiting", False)
    assert found.waits.startswith("the old password has its grace; looked at again at ")
    made.other.grace = 0.0
    await made.run()
    assert (await made.rotations.list(may(ROTATE), ListRotations(due=True))).rotations == ()


async def test_an_urgent_rotation_gives_no_grace() -> None:
    """The old value ends at once, also that of a rotation that waits already."""
    made = await rotating()
    await made.policy()
    made.other.grace = 600.0
    assert (await made.run()).waits
    command = RunRotation(PATH, urgent=True)
    done = await made.rotations.run(may(ROTATE, PATH), command, made.room.entry())
    assert (done.waits, done.resumed) == ("", True)
    assert made.other.accepted == {"new-1"}
    assert not (await made.rotations.run(may(ROTATE, PATH), command, made.room.entry())).waits


async def test_a_new_rotation_may_take_the_place_of_one_that_waits() -> None:
    """Where the rotator allows it, a person need not wait for a grace; the background goes on with what waits."""
    made = await rotating()
    made.other.grace, made.other.overtakes = 600.0, True
    await made.policy(every_seconds=86_400)
    assert (await made.run()).waits
    begun = made.clock.time
    made.clock.time += 10
    done = await made.run()
    assert (done.version, done.resumed) == (3, False)
    made.other.grace = 0.0
    made.clock.time += 601
    assert await made.tend() == ()
    found = await shown(made)
    assert (found.state, found.current_version) == ("idle", 3)
    assert found.last_at == begun + 10  # the age counts from when the value took its place


async def test_what_somebody_replaced_is_not_overtaken() -> None:
    """After a rollback the last step looks first at which value is current."""
    made = await rotating()
    made.other.grace, made.other.overtakes = 600.0, True
    await made.policy()
    await made.run()
    await made.room.put(PATH, {"password": "first"})
    assert (await made.run()).resumed
    assert made.other.jobs[-1].standing == {"password": "first"}
    assert (await shown(made, due=True)).state == "waiting"


async def test_only_the_last_step_may_wait() -> None:
    """A step before the last that asks to wait is a failure as any other."""
    made = await rotating()
    await made.policy()
    made.other.error = RotationWaitsError("later", seconds=5.0)
    with pytest.raises(RotationWaitsError):
        await made.run()
    assert (await shown(made)).failures == 1


# -- policies ------------------------------------------------------------------------------------


async def test_a_policy_is_checked_by_its_rotator() -> None:
    """Unknown rotators and parameters are refused with their name."""
    made = await rotating()
    with pytest.raises(InvalidInputError, match="there are other"):
        await made.policy(kind="nothing")
    with pytest.raises(InvalidInputError, match="user and admin"):
        await made.policy(parameters={"colour": "blue"})


async def test_a_guided_rotator_is_never_automatic() -> None:
    """A policy cannot make a rotation automatic that needs a person."""
    made = await rotating(automatic=False)
    with pytest.raises(InvalidInputError, match="needs a person"):
        await made.policy(automatic=True)


async def test_a_policy_is_needed() -> None:
    """A secret without a policy is not rotated, and the text says how to write one."""
    made = await rotating()
    with pytest.raises(NotFoundError, match="policy set database/app"):
        await made.run()


async def test_a_policy_is_removed_when_nothing_is_under_way() -> None:
    """Removing a policy under a run is refused; without one it goes, and the secret stays."""
    made = await rotating()
    await made.policy()
    made.other.error = UnavailableError("no answer")
    with pytest.raises(UnavailableError):
        await made.run()
    with pytest.raises(ConflictError, match="abandon"):
        await made.rotations.remove_policy(may(ROTATE, PATH), PATH, made.room.entry())
    await made.rotations.abandon(may(ROTATE, PATH), PATH, made.room.entry())
    await made.rotations.remove_policy(may(ROTATE, PATH), PATH, made.room.entry())
    assert (await made.rotations.list(may(ROTATE), ListRotations())).rotations == ()
    assert await made.current() == "first"


async def test_a_policy_written_anew_keeps_what_happened() -> None:
    """When a secret was rotated last stays known when its policy changes."""
    made = await rotating()
    await made.policy()
    await made.run()
    await made.policy(every_seconds=7200)
    found = await shown(made)
    assert found.last_at == made.clock.time
    assert found.due_at == made.clock.time + 7200


# -- by itself -----------------------------------------------------------------------------------


async def test_what_is_due_is_rotated_by_itself() -> None:
    """A secret whose age has come is rotated in the background, and not before."""
    made = await rotating()
    await made.policy()
    made.clock.time += 3599
    assert await made.tend() == ()
    assert await made.current() == "first"
    made.clock.time += 1
    assert await made.tend() == ()
    assert await made.current() == "new-1"
    assert await made.tend() == ()
    assert await made.current() == "new-1"


async def test_a_value_written_by_hand_is_not_rotated_too_soon() -> None:
    """The background looks at the secret itself before it begins, and then waits for the new age."""
    made = await rotating()
    await made.policy()
    made.clock.time += 3000
    await made.room.put(PATH, {"password": "by hand"})
    made.clock.time += 600
    assert await made.tend() == ()
    assert await made.current() == "by hand"
    assert (await shown(made)).next_at == made.clock.time + 3000


async def test_failures_wait_longer_each_time() -> None:
    """After a failure the background leaves a secret alone for a minute, then two, and tells what failed."""
    made = await rotating()
    await made.policy()
    made.clock.time += 3600
    made.other.error = UnavailableError("the database does not answer")
    assert await made.tend() == (f"{PATH}: the database does not answer",)
    assert await made.tend() == ()
    made.clock.time += 60
    assert len(await made.tend()) == 1
    made.clock.time += 60
    assert await made.tend() == ()
    made.clock.time += 60
    made.other.error = None
    assert await made.tend() == ()
    assert await made.current() == "new-1"


async def test_a_row_that_does_not_verify_keeps_no_other_back() -> None:
    """What cannot even be looked at is told of once a minute, and the others go on."""
    made = await rotating()
    await made.policy()
    row = (await made.store.read(PATH)).policy
    assert row is not None
    for number in range(20):
        forged = replace(row, path=f"forged/{number}", next_at=1.0)
        made.store._states[forged.path] = State(forged)
    made.clock.time += 3600
    told = [len(await made.tend()) for _ in range(4)]
    assert sum(told) == 20
    assert await made.current() == "new-1"
    made.clock.time += 60
    assert len(await made.tend()) == 8


async def test_a_killed_rotation_goes_on_by_itself() -> None:
    """The background takes up what a dead process left, once its lease has ended."""
    made = await rotating()
    await made.policy()
    made.faults.at = len(made.faults.passed) + 6
    with pytest.raises(KilledError):
        await made.run()
    assert await made.tend() == ()
    assert await made.current() == "first"
    made.clock.time += LEASE_SECONDS
    assert await made.tend() == ()
    assert await made.current() == "new-1"


async def test_weekly_hours_are_kept() -> None:
    """Outside its hours a due secret waits, and the listing says for what."""
    made = await rotating()
    made.clock.time = 1_768_473_000.0  # 2026-01-15 10:30, a Thursday
    await made.room.put(PATH, {"password": "first"})
    await made.policy(every_seconds=60, schedule="sun 02:00-04:00")
    made.clock.time += 3600
    assert await made.tend() == ()
    found = await shown(made, due=True)
    assert found.due
    assert found.waits == "its hours begin at 2026-01-18T02:00:00Z"
    made.clock.time = found.next_at
    await made.tend()
    assert await made.current() == "new-1"


async def test_what_is_by_hand_waits_for_somebody() -> None:
    """A policy that is not automatic is shown as due and never begun by itself."""
    made = await rotating()
    await made.policy(automatic=False)
    made.clock.time += 9999
    assert await made.tend() == ()
    found = await shown(made, due=True)
    assert (found.due, found.waits, found.next_at) == (True, "somebody to rotate it", None)


async def test_overdue_is_what_could_have_run_an_hour_ago() -> None:
    """An automatic rotation that keeps failing is overdue an hour after its time; a rotated one is not."""
    made = await rotating()
    await made.policy()
    made.clock.time += 3600 + 3599
    assert not await made.rotations.tending.overdue()
    made.clock.time += 2
    assert await made.rotations.tending.overdue() == [PATH]
    await made.run()
    assert not await made.rotations.tending.overdue()


async def test_only_what_is_due_is_listed_when_asked() -> None:
    """`due` leaves out what has time."""
    made = await rotating()
    await made.policy()
    assert (await made.rotations.list(may(ROTATE), ListRotations(due=True))).rotations == ()
    made.clock.time += 3600
    assert (await shown(made, due=True)).due


# -- rights --------------------------------------------------------------------------------------


async def test_every_call_needs_the_right_to_this_path() -> None:
    """A scope lets in to its paths alone, and listings show no other."""
    made = await rotating()
    await made.policy()
    other = may(ROTATE, "exchange/x", "secrets:rotate:exchange/*")
    entry, rotations = made.room.entry(), made.rotations
    with pytest.raises(PermissionDeniedError):
        await rotations.run(other, RunRotation(PATH), entry)
    with pytest.raises(PermissionDeniedError):
        await rotations.abandon(other, PATH, entry)
    with pytest.raises(PermissionDeniedError):
        await rotations.remove_policy(other, PATH, entry)
    with pytest.raises(PermissionDeniedError):
        await rotations.set_policy(other, SetPolicy(PATH, "other"), entry)
    assert (await rotations.list(may(ROTATE, "", "secrets:rotate:exchange/*"), ListRotations())).rotations == ()
    assert len((await rotations.list(may(ROTATE, "", "secrets:rotate:database/*"), ListRotations())).rotations) == 1


async def test_the_right_to_rotate_is_enough() -> None:
    """Who may rotate a secret need not be able to read or write it."""
    made = await rotating()
    await made.policy()
    assert (await made.run(None, f"secrets:rotate:{PATH}")).version == 2


async def test_a_rotator_reads_what_the_author_of_its_policy_may_read() -> None:
    """Another secret is read by the right of whoever wrote the policy, and the read is in the log."""
    made = await rotating()
    await made.room.put("database/admin", {"password": "root"})
    await made.policy(parameters={"admin": "database/admin"})
    await made.run(None, f"secrets:rotate:{PATH}")
    reads = [each for each in events(made) if each["action"] == "read"]
    assert [(each["resource"], each["result"]) for each in reads] == [("database/admin", "success")]


async def test_a_policy_lends_nobody_the_right_to_read() -> None:
    """Who may rotate and not read cannot have a rotator read for him; the denial is in the log."""
    made = await rotating()
    await made.room.put("database/admin", {"password": "root"})
    command = SetPolicy(PATH, "other", {"admin": "database/admin"}, 3600)
    grant = may(ROTATE, PATH, f"secrets:rotate:{PATH}", "secrets:read:database/app")
    await made.rotations.set_policy(grant, command, made.room.entry())
    with pytest.raises(RotationFailedError, match="may not read"):
        await made.run()
    made.clock.time += 3600
    assert "may not read" in (await made.tend())[0]
    denied = [each for each in events(made) if each["action"] == "read"]
    assert [(each["resource"], each["result"]) for each in denied] == [("database/admin", "denied")] * 2


# -- what is stored ------------------------------------------------------------------------------


async def test_a_row_that_was_changed_or_moved_is_refused() -> None:
    """A policy whose columns were changed, or that stands under another path, is not believed."""
    made = await rotating()
    await made.policy()
    row = (await made.store.read(PATH)).policy
    assert row is not None
    made.store._states[PATH] = replace(await made.store.read(PATH), policy=replace(row, kind="random"))
    with pytest.raises(IntegrityError):
        await made.run()
    made.store._states[PATH] = replace(await made.store.read(PATH), policy=row)
    made.store._states["other/path"] = made.store._states[PATH]
    with pytest.raises(IntegrityError):
        await made.rotations.run(may(ROTATE, "other/path"), RunRotation("other/path"), made.room.entry())


def test_steps_are_in_their_order() -> None:
    """Promotion stands between the test and the end of the old value."""
    assert [step.value for step in Step] == ["create", "set", "test", "promote", "finish"]
    assert list(pairwise(Step))[2] == (Step.TEST, Step.PROMOTE)
