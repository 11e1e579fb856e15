"""Key calls over HTTP: what their refusals say."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.support.pki import entry, grant
from tradewarden.errors import InvalidInputError
from tradewarden.http.endpoints.keys import RotateRoot, rotate_root
from tradewarden.keys.source import RootSources

if TYPE_CHECKING:
    from tradewarden.app import Warden


@pytest.mark.parametrize("uri", ["x", "passphrase:x", "awskms:alias/root", "file:" + "x" * 5000])
async def test_a_new_root_that_is_refused_is_not_taken_for_the_setting(uri: str) -> None:
    """The text is about `new_root`, which was sent, and not about the variable, which is well."""
    sources = RootSources("env:ROOT", {"ROOT": "A" * 44})
    warden = cast("Warden", cast("Any", SimpleNamespace(root_source=sources.named)))
    with pytest.raises(InvalidInputError, match=r"^new_root( |:)") as refused:
        await rotate_root(warden, grant("keys:rotate"), RotateRoot(uri), entry("keys:rotate"))
    assert "TRADEWARDEN_ROOT_KEY" not in refused.value.detail
