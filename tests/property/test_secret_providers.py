"""For every name and content: what goes into a file comes out of it, and nothing of it shows."""

from __future__ import annotations

import tempfile
from io import StringIO
from pathlib import Path

from dotenv import dotenv_values
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.providers import FERNET_KEY
from tradewarden.secrets.path import secret_path
from tradewarden.secrets.providers.content import as_object, as_text, from_object, from_text, settled
from tradewarden.secrets.providers.dotenv_file import quoted
from tradewarden.secrets.providers.environment import EnvironmentProvider
from tradewarden.secrets.providers.files.files import EncryptedFilesProvider
from tradewarden.secrets.providers.files.key import FilesKey

KEY = FilesKey.from_fernet(FERNET_KEY)
SEGMENTS = st.from_regex(r"[A-Za-z0-9_.@+=,~-]{1,30}", fullmatch=True).filter(lambda text: text not in (".", ".."))
NAMES = st.lists(SEGMENTS, min_size=1, max_size=4).map("/".join)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200) | st.text(
    "'\"\\$`{}#= \n\r\t!a", min_size=1, max_size=12
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=8,
)
OBJECTS = st.dictionaries(TEXTS, VALUES, max_size=5)


@settings(deadline=None)
@given(TEXTS | OBJECTS)
def test_a_settled_content_passes_every_kind_of_place(content: str | dict[str, object]) -> None:
    """Through places of text and of objects it comes back equal, and settling it again changes nothing."""
    kept = settled(content)
    assert settled(kept) == kept
    assert from_text(as_text(kept)) == kept
    assert from_object(as_object(kept)) == kept


@settings(deadline=None)
@given(TEXTS)
def test_a_quoted_text_is_read_by_every_setting_of_python_dotenv(text: str) -> None:
    """With interpolation and without; a following line is not drawn in."""
    if "\0" in text:
        return
    file = f"KEY={quoted(text)}\nNEXT=1\n"
    for interpolate in (True, False):
        found = dotenv_values(stream=StringIO(file), interpolate=interpolate)
        assert found["NEXT"] == "1"
        held = found["KEY"]
        assert held is not None
        assert held == text or settled(held) == settled(text)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.from_regex(r"[a-z][a-z0-9]{0,12}", fullmatch=True), TEXTS | OBJECTS, min_size=1, max_size=5))
def test_a_dotenv_file_gives_back_what_was_put(contents: dict[str, str | dict[str, object]]) -> None:
    """Whatever else was put into it before."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / ".env"
        contents.pop("env", None)
        for name, content in contents.items():
            EnvironmentProvider({}, dotenv=path).put(name, content)
        provider = EnvironmentProvider({}, dotenv=path)
        assert {name: provider.get(name).content for name in contents} == {
            name: settled(content) for name, content in contents.items()
        }


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(NAMES, TEXTS | OBJECTS, min_size=1, max_size=5))
def test_encrypted_files_give_back_what_was_put(contents: dict[str, str | dict[str, object]]) -> None:
    """Under every name that is a path; and the directory shows neither."""
    with tempfile.TemporaryDirectory() as directory:
        provider = EncryptedFilesProvider(Path(directory) / "files", KEY)
        for name, content in contents.items():
            provider.put(secret_path(name), content)
        assert provider.names() == sorted(contents)
        assert {name: held.content for name, held in provider.get_many(list(contents)).items()} == {
            name: settled(content) for name, content in contents.items()
        }
        shown = {each.name for each in (Path(directory) / "files").iterdir()}
        assert shown == {f"{KEY.file_name(name)}.secret" for name in contents}
