"""Every error ends with the code that the help lists."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.cli import Cli
from tradewarden import errors
from tradewarden.cli.exit_codes import MEANINGS, ExitCode, ServiceProblemError, epilog, exit_code


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Cli:
    """Commands run in this process."""
    return Cli(monkeypatch, capfd)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InvalidInputError("x"), 2),
        (errors.LimitExceededError("x"), 2),
        (errors.ConfigurationError("x"), 2),
        (errors.SecretNotFoundError("x"), 3),
        (errors.TokenError("x"), 4),
        (errors.PermissionDeniedError("x"), 4),
        (errors.ConflictError("x"), 5),
        (errors.RateLimitedError("x", retry_after=1), 6),
        (errors.FeatureDisabledError("x"), 6),
        (errors.StorageUnavailableError("x"), 6),
        (errors.DecryptionError("x"), 7),
        (errors.TradewardenError("x"), 1),
        (ServiceProblemError("x", 400), 2),
        (ServiceProblemError("x", 401), 4),
        (ServiceProblemError("x", 403), 4),
        (ServiceProblemError("x", 404), 3),
        (ServiceProblemError("x", 409), 5),
        (ServiceProblemError("x", 413), 2),
        (ServiceProblemError("x", 429), 6),
        (ServiceProblemError("x", 503), 6),
        (ServiceProblemError("x", 500), 1),
    ],
)
def test_exit_code(error: errors.TradewardenError, code: int) -> None:
    """Each kind of error, here or at the service, has one documented exit code."""
    assert exit_code(error) == code


def test_every_code_is_in_the_help(cli: Cli) -> None:
    """`tradewarden --help` lists each exit code with its meaning."""
    shown = " ".join(cli("--help").out.split())
    assert set(MEANINGS) == set(ExitCode)
    for code, meaning in MEANINGS.items():
        assert f"{code.value} {meaning}" in shown
    assert epilog() in shown


def test_usage_mistake_ends_with_2(cli: Cli) -> None:
    """An unknown option is a usage mistake."""
    assert cli("secrets", "list", "--nonsense").code == 2


def test_error_is_one_message_without_a_trace(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure shows its message on stderr, nothing on stdout, and no traceback."""
    monkeypatch.setattr("tradewarden.cli.secrets.connect", _raise(errors.ConflictError("taken \x1b[2J")))
    code, out, err = cli("secrets", "list")
    assert (code, out) == (5, "")
    assert err == "tradewarden: taken \N{REPLACEMENT CHARACTER}[2J\n"


def test_surprise_is_no_trace_either(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that nobody expected names its type and place, not its text, which may hold a secret."""
    monkeypatch.setattr("tradewarden.cli.secrets.connect", _raise(RuntimeError("hunter2")))
    code, out, err = cli("secrets", "list")
    assert (code, out) == (1, "")
    assert "RuntimeError" in err
    assert "hunter2" not in err
    assert "Traceback" not in err


def test_interrupt_ends_with_130(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends quietly with the shell's own code for it."""
    monkeypatch.setattr("tradewarden.cli.secrets.connect", _raise(KeyboardInterrupt()))
    code, out, err = cli("secrets", "list")
    assert (code, out) == (130, "")
    assert "Traceback" not in err


def _raise(error: BaseException) -> Callable[[object], None]:
    def raiser(_target: object) -> None:
        raise error

    return raiser
