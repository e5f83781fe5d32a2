"""The Hamming distance of hexadecimal hashes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.hamming import calculate_hamming_distance

HASHES = st.binary(min_size=4, max_size=4).map(bytes.hex)


@pytest.mark.parametrize(
    ("one", "two", "distance"),
    [("0000", "ffff", 16), ("abcd", "ABCD", 0), ("0", "7", 3), ("00ff", "0ff0", 8), ("0" * 64, "f" * 64, 256)],
)
def test_counts_the_bits_that_differ(one: str, two: str, distance: int) -> None:
    """Each bit that differs counts one; case does not matter, nor an odd number of digits."""
    assert calculate_hamming_distance(one, two) == distance


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("00", "000"),
        ("", "0"),
        ("", ""),
        ("0x", "00"),
        ("0g", "00"),
        ("00", " 0"),
        ("0_0", "000"),
        ("+1", "11"),
        ("\u0661", "1"),
    ],
)
def test_refuses_what_is_no_pair_of_hashes(one: str, two: str) -> None:
    """Unequal lengths raise, and so does all that is not plain hexadecimal digits, though int() would read it."""
    with pytest.raises(ValueError, match=r"unequal length|not hexadecimal"):
        calculate_hamming_distance(one, two)


@settings(max_examples=100)
@given(HASHES, HASHES, HASHES)
def test_is_a_metric(a: str, b: str, c: str) -> None:
    """Zero for equal hashes only, symmetric, and no detour is shorter."""
    distance = calculate_hamming_distance
    assert (distance(a, b) == 0) == (a == b)
    assert distance(a, b) == distance(b, a)
    assert distance(a, c) <= distance(a, b) + distance(b, c)
