"""A secret's value is one JSON object that every parser reads alike."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest

from tradewarden.errors import InvalidInputError, LimitExceededError
from tradewarden.secrets.value import MAX_BYTES, parse_object, raw_object


@pytest.mark.parametrize("value", [{1: 2}, {"a": {None: 1}}, {"a": [{"b": ({True: 1},)}]}, {1.5: ""}])
def test_a_dict_with_other_keys_than_text_is_refused(value: dict[object, object]) -> None:
    """It would come back as another one: JSON has names only, and nothing is repaired."""
    with pytest.raises(InvalidInputError, match="text keys"):
        raw_object(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("raw", "compact"),
    [
        (b"{}", b"{}"),
        (b' { "a" : [ 1 , 2.5 , true , null ] } ', b'{"a":[1,2.5,true,null]}'),
        (b'{"a":{"a":1},"b":{"a":2}}', b'{"a":{"a":1},"b":{"a":2}}'),
        (b'{"a":":","b":"\\":{[","c":"\\\\"}', b'{"a":":","b":"\\":{[","c":"\\\\"}'),
        ('{"é":"\\u00e9"}'.encode(), '{"é":"é"}'.encode()),
        (b'{"n":123456789012345678901234567890}', b'{"n":123456789012345678901234567890}'),
    ],
)
def test_an_object_is_kept_as_compact_json(raw: bytes, compact: bytes) -> None:
    """Space and escapes go, everything else stays."""
    assert parse_object(raw) == compact
    assert parse_object(compact) == compact


@pytest.mark.parametrize(
    "raw",
    [b"", b"1", b"[]", b'"a"', b"null", b"{", b'{"a":NaN}', b'{"a":1}x', b"{'a':1}", b'{"a":"\xff"}',
     b'{"a":"\\ud800"}', b"\xef\xbb\xbf{}", b'{"a":"', b"{1:2}", b'{"a":1,}'],
)  # fmt: skip
def test_what_is_no_json_object_is_refused(raw: bytes) -> None:
    """Only one whole JSON object is a value."""
    with pytest.raises(InvalidInputError, match="not a JSON object"):
        parse_object(raw)


@pytest.mark.parametrize(
    "number",
    [b"1e-400", b"1e400", b"0.12345678901234567890123", b"100000000000000000000.5", b"1e9999999999999999999"],
)
def test_a_number_that_would_be_rounded_is_refused(number: bytes) -> None:
    """What comes back is what was stored, or nothing is; the message does not show the number."""
    with pytest.raises(InvalidInputError, match="would round; write it as a text") as refused:
        parse_object(b'{"a":[%b]}' % number)
    assert number.decode() not in str(refused.value)


def test_numbers_keep_their_value() -> None:
    """However they are written, and integers at any length."""
    kept = parse_object(b'{"a":[1.10,-0.0,5e-324,1E5,3.141592653589793,123456789012345678901234567890]}')
    assert kept == b'{"a":[1.1,-0.0,5e-324,100000.0,3.141592653589793,123456789012345678901234567890]}'


@pytest.mark.parametrize(
    "raw",
    [b'{"a":1,"a":2}', b'{"a":1,"\\u0061":1}', b'{"x":[{"b":1,"c":2,"b":3}]}', b'{"":0,"":0}'],
)
def test_a_field_named_twice_is_refused(raw: bytes) -> None:
    """Duplicate names are refused at every depth, however they are escaped."""
    with pytest.raises(InvalidInputError, match="twice"):
        parse_object(raw)


@pytest.mark.parametrize("depth", [33, 200, 50_000])
def test_deep_nesting_is_refused(depth: int) -> None:
    """Nesting deeper than 32 is refused and never overflows the stack."""
    with pytest.raises(InvalidInputError, match="nested deeper"):
        parse_object(b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}")


def test_the_deepest_allowed_nesting_is_taken() -> None:
    """Nesting of 32 passes, and many shallow brackets do not count as depth."""
    assert parse_object(b'{"a":' + b"[" * 31 + b"]" * 31 + b"}")
    assert parse_object(b'{"a":[' + b"[],{}," * 100 + b"1]}")


def test_the_size_limit_is_exact() -> None:
    """The largest value passes; one byte more is refused as too large."""
    largest = b'{"a":"' + b"x" * (MAX_BYTES - 8) + b'"}'
    assert parse_object(largest) == largest
    with pytest.raises(LimitExceededError, match="larger than"):
        parse_object(largest + b" ")


@pytest.mark.parametrize("inside", [b'\\"', b"\\\\", b'",":"'])
def test_hostile_strings_take_linear_time(inside: bytes) -> None:
    """A megabyte of escapes is looked through once, finished or not."""
    started = time.perf_counter()
    for end in (b'"}', b""):
        with suppress(InvalidInputError):
            parse_object((b'{"a":"' + inside * (MAX_BYTES // len(inside)))[: MAX_BYTES - 2] + end)
    assert time.perf_counter() - started < 5


def test_a_refusal_never_quotes_the_value() -> None:
    """Neither message nor chained error holds what was sent."""
    with pytest.raises(InvalidInputError) as refused:
        parse_object(b'{"password":"hunter2" oops}')
    assert "hunter2" not in f"{refused.value} {refused.value.reason} {refused.value.__cause__}"


@pytest.mark.parametrize("value", [{"a": float("nan")}, {"a": object()}, {"a": b"x"}, {(1,): 2}])
def test_what_json_cannot_say_is_refused(value: dict[str, object]) -> None:
    """A Python mapping with anything that JSON lacks is refused, never bent."""
    with pytest.raises(InvalidInputError):
        raw_object(value)
