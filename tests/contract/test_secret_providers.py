"""What every provider of secrets does, held against each of them over the place it is for."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.providers import FACTORIES, Place, aws_url, fresh, service, vault, vault_standin, warden
from tradewarden.errors import InvalidInputError, LimitExceededError, SecretNotFoundError
from tradewarden.secrets.providers.provider import Content, Provider

__all__ = ["aws_url", "service", "vault", "vault_standin", "warden"]

AWKWARD = (
    "two\nlines",
    "a PEM\n\n  with blank lines, and one at its end\n",
    "carriage\rreturn\r\nand line feed",
    'it\'s "quoted" with `ticks`',
    "'",
    '"\'"',
    "$HOME ${HOME} $$ $(id) %PATH%",
    "back\\slash \\n \\' ends in \\",
    " spaces around ",
    "#no comment # here",
    "a=b&c;d|e<f>g!h*i?j~k[l]",
    "ünïcödé 鍵 🔑 \u2028 \x7f",
    "tab\tand \x01 control",
    "{not an object}",
    "[1, 2]",
    "null",
    "export X=1",
    "p@ss:w/rd",
    "=",
)
OBJECTS: tuple[dict[str, object], ...] = (
    {"host": "db.example.com", "port": 5432, "user": "alphapulse", "password": "it's $ecret\n"},
    {"api_key": "k", "api_secret": "s"},
    {"nested": {"list": [1, 2.5, True, None, "x"]}, "empty": "", "big": 2**70},
    {"value": 1},
    {"value": ""},
    {"value": "a text", "more": 1},
    {},
)


@pytest.fixture(params=FACTORIES)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """Each place in turn."""
    made = FACTORIES[request.param](request)
    others: list[Provider] = []

    def again() -> Provider:
        others.append(made.again())
        return others[-1]

    yield made._replace(again=again)
    for provider in (made.provider, *others):
        provider.close()


def test_a_provider_says_who_it_is(place: Place) -> None:
    """Logs, entries and metrics call it by one short name."""
    assert place.provider.name == place.name


@pytest.mark.parametrize("content", ["a text", {"user": "u", "password": "p"}], ids=["text", "object"])
def test_what_is_put_is_read_back(place: Place, content: Content) -> None:
    """A text comes back as that text, an object as that object, with the version that put told."""
    name = fresh()
    version = place.provider.put(name, content)
    held = place.provider.get(name)
    assert (held.name, held.content, held.version) == (name, content, version)
    assert bool(version) is place.versions


def test_every_text_and_object_comes_back_equal(place: Place) -> None:
    """Quotes, newlines, dollars, Unicode, nesting: nothing is changed on the way, for another process neither."""
    contents: list[Content] = [*AWKWARD, *OBJECTS]
    refused = 0
    stored: dict[str, Content] = {}
    for content in contents:
        name = fresh()
        try:
            place.provider.put(name, content)
        except InvalidInputError:
            refused += 1
        else:
            stored[name] = content
    assert refused == 0
    for provider in (place.provider, place.again()):
        assert {name: provider.get(name).content for name in stored} == stored


def test_text_and_object_are_one_in_every_place(place: Place) -> None:
    """A text that spells an object is that object, and an object of a text `value` alone is that text."""
    spelled, wrapped = fresh(), fresh()
    place.provider.put(spelled, ' {"user": "u"}\n')
    place.provider.put(wrapped, {"value": "a text"})
    assert place.provider.get(spelled).content == {"user": "u"}
    assert place.provider.get(wrapped).content == "a text"


def test_a_missing_secret_is_not_found(place: Place) -> None:
    """What is not there is said in the documented words, to reading and deleting alike."""
    name = fresh()
    for ask in (place.provider.get, place.provider.delete):
        with pytest.raises(SecretNotFoundError, match=f"^Secret '{name}' not found$"):
            ask(name)
    assert place.provider.get_many([name]) == {}


def test_a_second_put_replaces_the_first(place: Place) -> None:
    """The newest content is current, and where versions are kept the one before can be read by its name."""
    name = fresh()
    first = place.provider.put(name, "first")
    second = place.provider.put(name, {"n": 2})
    assert place.provider.get(name).content == {"n": 2}
    if not place.versions:
        return
    assert first != second
    old, new = place.provider.get(name, first), place.provider.get(name, second)
    assert (old.content, old.version) == ("first", first)
    assert (new.content, new.version) == ({"n": 2}, second)


def test_an_unknown_version_is_not_found(place: Place) -> None:
    """A version that never was is not the current one."""
    name = fresh()
    place.provider.put(name, "content")
    for version in ("4000", "no-such-version"):
        with pytest.raises(SecretNotFoundError):
            place.provider.get(name, version)


def test_many_are_read_at_once(place: Place) -> None:
    """Those that exist are returned under their names, the others are left out, in whatever number."""
    stored = {fresh(): f"content {number}" for number in range(23)}
    for name, content in stored.items():
        place.provider.put(name, content)
    found = place.provider.get_many([fresh(), *stored, *stored, fresh()])
    assert {name: held.content for name, held in found.items()} == stored
    assert all(held.name == name for name, held in found.items())
    assert place.provider.get_many([]) == {}


def test_a_deleted_secret_is_gone_until_it_is_put_again(place: Place) -> None:
    """Deleted is not found, for everyone, and a new put brings a new content."""
    name = fresh()
    first = place.provider.put(name, "old")
    place.provider.delete(name)
    for provider in (place.provider, place.again()):
        with pytest.raises(SecretNotFoundError):
            provider.get(name)
        assert provider.get_many([name]) == {}
    second = place.provider.put(name, "new")
    assert place.provider.get(name).content == "new"
    assert first != second or not place.versions


def test_names_are_listed_sorted_by_prefix(place: Place) -> None:
    """Every name that starts with the prefix and no other, whoever put it."""
    stem = fresh("listed")
    wanted = [f"{stem}_{letter}" for letter in "cab"]
    for name in (*wanted, f"{stem}x", fresh("other")):
        place.provider.put(name, "content")
    assert place.again().names(f"{stem}_") == sorted(wanted)
    assert set(wanted) <= set(place.provider.names())


def test_names_have_segments_and_case(place: Place) -> None:
    """`a/B` and `a/b` are two secrets where a place has paths; where it has none, putting them is refused."""
    stem = fresh("dir")
    if not place.paths:
        for name in (f"{stem}/a", stem.upper(), f"{stem}-a"):
            with pytest.raises(InvalidInputError):
                place.provider.put(name, "content")
        return
    contents = {f"{stem}/a": "1", f"{stem}/A": "2", f"{stem}/a/b": "3", f"{stem}-a.b@c+d=e": "4"}
    for name, content in contents.items():
        place.provider.put(name, content)
    assert {name: place.provider.get(name).content for name in contents} == contents
    assert place.provider.names(f"{stem}/") == sorted(name for name in contents if name.startswith(f"{stem}/"))


@pytest.mark.parametrize(
    "name", ["", "/", "a//b", "../x", "a/..", "a/./b", "a\nb", "a\0b", "naïve", "a%2Fb", "x" * 600]
)
def test_a_name_that_is_no_path_is_refused(place: Place, name: str) -> None:
    """A bad name is told apart from a missing secret, before anything is asked."""
    for ask in (place.provider.get, place.provider.delete, lambda bad: place.provider.put(bad, "content")):
        with pytest.raises(InvalidInputError):
            ask(name)
    with pytest.raises(InvalidInputError):
        place.provider.get_many([name])


@pytest.mark.parametrize(
    "content",
    ["", "\ud800", {"a": float("nan")}, {"a": (1, 2)}, {1: 2}, {"a": b"x"}, {"a": "\ud800"}, None, 3, b"x"],
    ids=repr,
)
def test_a_content_that_cannot_be_kept_is_refused(place: Place, content: Content) -> None:
    """What would come back changed is not taken, and what stood there stays."""
    name = fresh()
    place.provider.put(name, "stays")
    with pytest.raises(InvalidInputError):
        place.provider.put(name, content)
    assert place.provider.get(name).content == "stays"


def test_the_largest_content_is_kept_and_a_larger_one_refused(place: Place) -> None:
    """The limit is the documented one, and is told before anything is sent."""
    name = fresh()
    largest = "x" * place.largest
    place.provider.put(name, largest)
    assert place.provider.get(name).content == largest
    with pytest.raises(LimitExceededError):
        place.provider.put(name, "x" * (1024 * 1024 + 1))
    assert place.provider.get(name).content == largest


def test_threads_share_a_provider(place: Place) -> None:
    """Calls from eight threads do not disturb each other."""
    names = [fresh() for _ in range(16)]

    def use(name: str) -> Content:
        place.provider.put(name, {"name": name})
        return place.provider.get(name).content

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(use, names)) == [{"name": name} for name in names]


def test_nothing_printed_holds_a_content(place: Place) -> None:
    """Neither what is held nor the provider shows a value when it is printed."""
    name = fresh()
    place.provider.put(name, {"password": "hunter2"})
    shown = f"{place.provider!r} {place.provider} {place.provider.get(name)!r} {place.provider.get_many([name])}"
    assert "hunter2" not in shown


def test_closing_twice_is_no_mistake(place: Place) -> None:
    """Who closes to be sure does no harm."""
    place.provider.close()
    place.provider.close()
