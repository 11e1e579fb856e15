"""A plan says where each value goes and what changes, without showing one."""

from __future__ import annotations

import msgspec
import pytest

from tests.support.moves import KEY, SECRET, VALUE, finding
from tradewarden.errors import ConfigurationError, ProviderUnavailableError, SecretNotFoundError
from tradewarden.migrate.accounts import assigned
from tradewarden.migrate.diff import diff
from tradewarden.migrate.finding import Destination, Finding, Language
from tradewarden.migrate.plan import Plan, Tree, make_plan
from tradewarden.migrate.report import plan_lines, plan_report
from tradewarden.migrate.rewriting import Reading
from tradewarden.migrate.slots import numbered, settled, variable_of
from tradewarden.migrate.targets import Target, contents, holds
from tradewarden.secrets.naming import Kind, kind_of
from tradewarden.secrets.providers.provider import Content, Held
from tradewarden.secrets.references import secret_of_variable

_OTHER = "Pq55aaWWzzTr0"


class _Shelf:
    """A provider of a dict."""

    name = "shelf"

    def __init__(self, held: dict[str, Content] | None = None, *, forgets: bool = False) -> None:
        self.held = held or {}
        self.forgets = forgets
        self.puts: list[str] = []

    def get(self, name: str, version: str = "") -> Held:
        if name not in self.held:
            raise SecretNotFoundError(name)
        return Held(name, self.held[name])

    def put(self, name: str, content: Content) -> str:
        self.puts.append(name)
        if not self.forgets:
            self.held[name] = content
        return ""

    def get_many(self, names: object) -> dict[str, Held]:
        raise NotImplementedError

    def delete(self, name: str) -> None:
        raise NotImplementedError

    def names(self, prefix: str = "") -> list[str]:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


def _plan(files: dict[str, str], found: list[Finding], held: dict[str, Content] | None = None) -> Plan:
    target = Target(_Shelf(held), "shelf")
    return make_plan(Tree(files, found), Reading.ENVIRON, lambda slot: holds([target], slot))


def _account(file: str, key: str, secret: str) -> tuple[str, list[Finding]]:
    text = f'K = "{key}"\nS = "{secret}"\n'
    return text, [finding(text, key, KEY, file=file), finding(text, secret, SECRET, file=file)]


def _slots(plan: Plan) -> dict[str, list[str]]:
    by_file: dict[str, list[str]] = {}
    for move in plan.moves:
        by_file.setdefault(move.finding.file, []).append(variable_of(move.destination))
    return by_file


def test_a_second_account_keeps_key_and_secret_together() -> None:
    """Two values for one slot: the later file's pair gets the next number, and the plan says so."""
    one, first = _account("a.py", "key-one-11", "secret-one-1")
    two, second = _account("b.py", "key-two-22", "secret-two-2")
    plan = _plan({"a.py": one, "b.py": two}, [*first, *second])
    assert _slots(plan) == {
        "a.py": ["ALPHAPULSE_BINANCE_API_KEY", "ALPHAPULSE_BINANCE_API_SECRET"],
        "b.py": ["ALPHAPULSE_BINANCE_2_API_KEY", "ALPHAPULSE_BINANCE_2_API_SECRET"],
    }
    assert contents(plan)["binance_2_credentials"] == {"api_key": "key-two-22", "api_secret": "secret-two-2"}
    assert any("b.py:1 becomes binance_2_credentials#api_key" in note for note in plan.notes)


@pytest.mark.parametrize("order", ["kskS", "kKsS"])
def test_two_accounts_in_one_file_are_paired_by_their_order(order: str) -> None:
    """Key, secret, key, secret; or both keys first."""
    values = {"k": "key-one-11", "s": "secret-one-1", "K": "key-two-22", "S": "secret-two-2"}
    order = order if "K" in order else "ksKS"
    text = "".join(f'{name} = "{values[name]}"\n' for name in order)
    found = [finding(text, values[name], KEY if name in "kK" else SECRET) for name in order]
    assert contents(_plan({"bot.py": text}, found)) == {
        "binance_credentials": {"api_key": "key-one-11", "api_secret": "secret-one-1"},
        "binance_2_credentials": {"api_key": "key-two-22", "api_secret": "secret-two-2"},
    }


def test_what_the_provider_holds_is_never_overwritten() -> None:
    """Another value there: the next slot, for the whole account; the same value: the same slot."""
    text, found = _account("a.py", "key-one-11", "secret-one-1")
    held: dict[str, Content] = {"binance_credentials": {"api_key": "another", "passphrase": "p"}}
    assert list(contents(_plan({"a.py": text}, found, held))) == ["binance_2_credentials"]
    held["binance_2_credentials"] = {"api_key": "key-one-11"}
    assert list(contents(_plan({"a.py": text}, found, held))) == ["binance_2_credentials"]
    held["binance_credentials"] = "a text"
    held["binance_2_credentials"] = {"api_key": "another"}
    assert list(contents(_plan({"a.py": text}, found, held))) == ["binance_3_credentials"]


def test_a_run_that_was_cut_off_finds_its_slots_again() -> None:
    """With the first file done and its values written, the second still gets the second slot."""
    two, second = _account("b.py", "key-two-22", "secret-two-2")
    held: dict[str, Content] = {"binance_credentials": {"api_key": "key-one-11", "api_secret": "secret-one-1"}}
    assert list(contents(_plan({"b.py": two}, second, held))) == ["binance_2_credentials"]
    held["binance_2_credentials"] = {"api_key": "key-two-22"}
    assert list(contents(_plan({"b.py": two}, second, held))) == ["binance_2_credentials"]


def test_one_value_by_several_names_is_one_secret() -> None:
    """The name that the platform knows wins; short values stay apart, they may be equal by chance."""
    text = f'A = "{VALUE}"\nB = "{VALUE}"\n'
    found = [
        finding(text, VALUE, Destination("pgpassword")),
        finding(text, VALUE, Destination("database_credentials", "password"), start=text.rindex(VALUE)),
    ]
    plan = _plan({"bot.py": text}, found)
    assert contents(plan) == {"database_credentials": {"password": VALUE}}
    assert plan.notes == ("pgpassword has the same value as database_credentials#password, and is read from there",)
    short = 'A = "abc123"\nB = "abc123"\n'
    apart = [
        finding(short, "abc123", Destination("pgpassword")),
        finding(short, "abc123", Destination("redis_password"), start=short.rindex("abc123")),
    ]
    assert len(contents(_plan({"bot.py": short}, apart))) == 2


@pytest.mark.parametrize(
    ("destination", "number", "variable"),
    [
        (KEY, 1, "ALPHAPULSE_BINANCE_API_KEY"),
        (KEY, 3, "ALPHAPULSE_BINANCE_3_API_KEY"),
        (Destination("polygon_api_key"), 2, "ALPHAPULSE_POLYGON_2_API_KEY"),
        (Destination("database_credentials", "password"), 1, "ALPHAPULSE_DB_PASSWORD"),
        (Destination("database_credentials", "password"), 2, "ALPHAPULSE_DATABASE_2_PASSWORD"),
        (Destination("stripe", "token"), 1, "ALPHAPULSE_STRIPE_TOKEN"),
        (Destination("api_keys/Stripe-EU"), 1, "ALPHAPULSE_API_KEYS_STRIPE_EU"),
        (Destination("jwt_secret"), 2, "ALPHAPULSE_ACCOUNT2_JWT_SECRET"),
    ],
)
def test_every_slot_has_a_variable_that_leads_back(
    destination: Destination, number: int, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reference `${…}` finds exactly the secret and field that was written."""
    slot = numbered(settled(destination), number)
    assert variable_of(slot) == variable
    assert kind_of(slot.name) is kind_of(destination.name)

    def held(name: str, field: str = "") -> str:
        if Destination(name, field) != slot:
            raise SecretNotFoundError(name)
        return VALUE

    monkeypatch.setattr("tradewarden.secrets.references.platform_secret", held)
    assert secret_of_variable(variable) == VALUE


def test_a_second_signing_key_is_still_a_key() -> None:
    """Its kind goes by its name, and a key never comes from a fallback."""
    assert kind_of(numbered(Destination("encryption_key"), 2).name) is Kind.KEY


def test_no_value_is_shown_anywhere() -> None:
    """Not in the diff, the report, the JSON, a repr, or the plan's name; also not where it is left as it is."""
    text = f'K = "{VALUE}"\nmatch K:\n    case "{_OTHER}": pass\n# near {_OTHER}\n'
    found = [finding(text), finding(text, _OTHER, SECRET), finding(text, _OTHER, SECRET, start=text.rindex(_OTHER))]
    plan = _plan({"bot.py": text}, found)
    shown = "\n".join(
        [*plan_lines(plan), diff(plan), repr(plan), str(plan.changes), str(msgspec.json.encode(plan_report(plan)))]
    )
    assert VALUE not in shown
    assert _OTHER not in shown
    assert len(plan.by_hand) == 1
    assert 'case "********"' in diff(plan, 9)


def test_the_diff_can_be_read_and_is_one() -> None:
    """Unified, masked, with a note on a missing last line end; a key of several lines keeps its lines."""
    pem = "-----BEGIN X-----\nabcd\n-----END X-----"
    text = f'import os\nP = """{pem}"""'
    plan = _plan({"bot.py": text}, [finding(text, pem, Destination("private_key"))])
    assert diff(plan, 3).splitlines() == [
        "--- a/bot.py",
        "+++ b/bot.py",
        "@@ -1,4 +1,2 @@",
        " import os",
        '-P = """********',
        "-********",
        '-********"""',
        "\\ No newline at end of file",
        '+P = os.environ["ALPHAPULSE_PRIVATE_KEY"]',
        "\\ No newline at end of file",
    ]


def test_the_name_of_a_plan_changes_with_its_files_and_not_with_its_values() -> None:
    """So it can be compared, and tells nothing to who sees it."""

    def named(text: str, value: str, stamp: int = 1) -> str:
        found = [finding(text, value)]
        return make_plan(Tree({"bot.py": text}, found, {"bot.py": stamp}), Reading.ENVIRON, lambda _: set()).id

    one = named(f'K = "{VALUE}"\n', VALUE)
    assert one == named(f'K = "{_OTHER}"\n', _OTHER)
    assert one != named(f'K = "{VALUE}"\n', VALUE, stamp=2)
    assert one != named(f'K = "{VALUE}"  # c\n', VALUE)


def test_what_a_provider_cannot_hold_is_left() -> None:
    """A JSON object would come back as fields; a value that the target refuses stays where it is."""
    text = 'K = \'{"a": "b"}\'\n'
    assert "JSON object" in _plan({"bot.py": text}, [finding(text, '{"a": "b"}')]).by_hand[0].why
    plain = f'K = "{VALUE}"\n'
    plan = make_plan(
        Tree({"bot.py": plain}, [finding(plain)]), Reading.ENVIRON, lambda _: set(), refused=lambda _: "no room"
    )
    assert (plan.by_hand[0].why, plan.changes, plan.moves) == ("no room", (), ())


def test_a_file_that_nobody_is_seen_to_read_is_a_duty() -> None:
    """A module that names the file and loads it resolves the references; else a person must."""
    text = f'{{"k": "{VALUE}"}}'
    found = [finding(text, language=Language.JSON, file="c/feeds.json")]
    assert "resolved" in _plan({"c/feeds.json": text}, found).duties[0]
    reader = "import json\nx = json.load(open('c/feeds.json'))\n"
    plan = _plan({"c/feeds.json": text, "r.py": reader}, found)
    assert [change.file for change in plan.changes] == ["c/feeds.json", "r.py"]
    assert plan.duties == ("r.py: the package tradewarden is imported there now; install it where they run",)


def test_the_duty_of_a_data_file_stays_for_every_other_loader() -> None:
    """One loader that is rewritten says nothing of another: each place that was not is named."""
    text = f'{{"k": "{VALUE}"}}'
    found = [finding(text, language=Language.JSON, file="c/feeds.json")]
    files = {
        "c/feeds.json": text,
        "seen.py": "import json\nx = json.load(open('c/feeds.json'))\n",
        "own.py": "import json\nwith open('c/feeds.json') as f:\n    t = f.read()\nx = json.loads(t)\n",
        "far.py": "from base import read\nx = read('c/feeds.json')\n",
        "put.py": "x = read(f'{folder}feeds.json')\n",
        "run.js": "require('./c/feeds.json')\n",
    }
    (duty,) = [each for each in _plan(files, found).duties if each.startswith("c/feeds.json")]
    assert "look at far.py, own.py:4, put.py, run.js:" in duty


def test_the_package_is_named_where_requirements_stand() -> None:
    """Modules that import it now are listed with the files that say what to install; once it is in, nothing is said."""
    text = f'K = "{VALUE}"\n'

    def duties(requirements: str) -> tuple[str, ...]:
        files = {"bot.py": text, "requirements.txt": requirements}
        return make_plan(Tree(files, [finding(text)]), Reading.PROVIDER, lambda _: set()).duties

    assert duties("ccxt\n") == ("bot.py: the package tradewarden is imported there now; add it to requirements.txt",)
    assert duties("ccxt\ntradewarden>=1\n") == ()


_GENERATED = "q7Zr2kVx9LmTb4Wc8Yd3Hn6J"


def test_copies_of_a_moved_value_move_with_it() -> None:
    """Under a name that says nothing, in a comment, in another format, as the default of a variable."""
    text = f'K = "{_GENERATED}"\n'
    files = {
        "a.py": text,
        "b.py": f'q = "{_GENERATED}"\n# used {_GENERATED}\n',
        "c.yml": f"x: {_GENERATED}\n",
        "d.sh": f'readonly T="${{T:-{_GENERATED}}}"\n',
        "e.py": f'longer = "x{_GENERATED}"\nok = "{_GENERATED}"  # tradewarden: allow made up\n',
    }
    plan = _plan(files, [finding(text, _GENERATED, file="a.py")])
    after = {change.file: change.after for change in plan.changes}
    assert sorted(after) == ["a.py", "b.py", "c.yml", "d.sh"]
    assert not any(_GENERATED in each for each in after.values())
    assert after["d.sh"] == 'readonly T="${T:-${ALPHAPULSE_BINANCE_API_KEY:?}}"\n'
    assert plan.by_hand == ()


def test_copies_that_cannot_move_are_left_to_a_person() -> None:
    """A kind of file that is not rewritten, and a password that may be a word; words themselves are nothing."""
    text = f'K = "{_GENERATED}"\nP = "desk-2024"\nW = "liquidity"\n'
    files = {"a.py": text, "b.go": f'q := "{_GENERATED}"\n', "c.py": 'q = "desk-2024"\nw = "liquidity"\n'}
    found = [finding(text, each, file="a.py") for each in (_GENERATED, "desk-2024", "liquidity")]
    plan = _plan(files, found)
    assert [(each.finding.file, each.finding.line) for each in plan.by_hand] == [("c.py", 1), ("b.go", 1)]
    assert [change.file for change in plan.changes] == ["a.py"]


def test_a_copy_never_keeps_a_finding_from_moving() -> None:
    """Where both together fail the proof, what was found moves and the copy is left."""
    text = f'K = "{VALUE}"\nx = f"{{K:{_GENERATED}}}"\n'
    other = f'S = "{_GENERATED}"\n'
    found = [finding(text, file="a.py"), finding(other, _GENERATED, SECRET, file="b.py")]
    plan = _plan({"a.py": text, "b.py": other}, found)
    assert [change.file for change in plan.changes] == ["a.py", "b.py"]
    assert [each.finding.file for each in plan.by_hand] == ["a.py"]


@pytest.mark.parametrize(
    "text",
    [
        "class A:\n    key = K1\n\n\nclass B:\n    secret = S2\n    key = K2\n",
        "[a]\nkey = K1\n[b]\nsecret = S2\nkey = K2\n",
        "a:\n  - key: K1\n  - secret: S2\n    key: K2\n",
        "# one\nkey = K1\n\n# two\nsecret = S2\nkey = K2\n",
        "one_key = K1\ntwo_secret = S2\ntwo_key = K2\n",
        "docs K1\nkey = K2\nsecret = S2\n",
    ],
)
def test_key_and_secret_pair_by_what_stands_near(text: str) -> None:
    """A class, a section, an item, a paragraph, a name; a value that only its shape speaks for never comes first."""
    found = []
    for value, slot in (("K1", KEY), ("K2", KEY), ("S2", SECRET)):
        line = next(each for each in text.splitlines() if value in each)
        key = "" if line.startswith("docs") else line.strip(" -").partition(" " if " =" in line else ":")[0]
        found.append(msgspec.structs.replace(finding(text, value, slot), key=key))
    moves, _ = assigned(found, lambda _: set(), {"bot.py": text})
    moved = {move.finding.value.reveal(): move.destination.name for move in moves}
    assert moved["K2"] == moved["S2"] != moved["K1"]
    if "docs" in text:
        assert moved["K2"] == "binance_credentials"


def test_lines_around_are_shown_on_request_only_and_never_with_what_looks_like_a_value() -> None:
    """A credential that nothing found stands beside one that was."""
    text = f'hidden = "hunter two"\nK = "{VALUE}"\nL = "{_GENERATED}"\n'
    plan = _plan({"bot.py": text}, [finding(text)])
    assert "hunter" not in diff(plan)
    assert "hunter" in diff(plan, 2)
    assert _GENERATED not in diff(plan, 2)
    kept = make_plan(
        Tree({"bot.py": text}, [finding(text)], kept=[finding(text, "hunter two")]), Reading.ENVIRON, lambda _: set()
    )
    assert "hunter" not in diff(kept, 2)


def test_only_a_line_feed_ends_a_line_of_the_diff() -> None:
    """A form feed stands in the middle of one, as for every tool that reads patches."""
    text = f'x = 1\n# a\x0cb\nK = "{VALUE}"\n'
    lines = diff(_plan({"bot.py": text}, [finding(text)]), 3).split("\n")
    assert " # a\x0cb" in lines
    assert all(not line or line[0] in "-+@ \\" for line in lines)


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is read with it."""
    monkeypatch.setattr("tradewarden.migrate.extra.find_spec", lambda _: None)
    text = f'K = "{VALUE}"\n'
    with pytest.raises(ConfigurationError, match=r"pip install '\.\[migrate\]'"):
        _plan({"bot.py": text}, [finding(text)])


def test_a_target_adds_fields_and_leaves_the_others() -> None:
    """What a secret holds besides stays; what is there already is not written again."""
    shelf = _Shelf({"binance_credentials": {"passphrase": "p"}})
    target = Target(shelf, "shelf")
    assert target.write("binance_credentials", {"api_key": "k"})
    assert shelf.held["binance_credentials"] == {"passphrase": "p", "api_key": "k"}
    assert not target.write("binance_credentials", {"api_key": "k"})
    assert shelf.puts == ["binance_credentials"]


def test_a_target_that_does_not_give_back_what_it_took_is_an_error() -> None:
    """Nothing is rewritten to read from a place that does not hold it."""
    with pytest.raises(ProviderUnavailableError, match="no file was changed") as raised:
        Target(_Shelf(forgets=True), "shelf").write("a", VALUE)
    assert VALUE not in str(raised.value)
