"""Invitations: what a token holds comes back, and what was done to one is said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.codec import encode
from ledger.events import Genesis
from ledger.keys import SigningKey
from scheduler.invite import PREFIX, Invite, InviteError, looks_like_token, read_token, write_token

GENESIS = Genesis("team", 1, bytes(16), (SigningKey.from_seed(bytes(32)).actor,))
INVITE = Invite(
    GENESIS.encode(), "alice", ("/ip4/192.0.2.1/tcp/4001/p2p/12D3KooW",), ("http://192.0.2.1:80",), bytes(range(32))
)
TOKEN = write_token(INVITE)


def test_a_token_says_what_was_put_into_it() -> None:
    """Reading is the inverse of writing, whatever line breaks, spaces and capitals came in on the way."""
    assert read_token(TOKEN) == INVITE
    wrapped = "\n".join(TOKEN[at : at + 60].upper() for at in range(0, len(TOKEN), 60))
    assert read_token(f"  {wrapped}\r\n") == INVITE
    assert (INVITE.genesis, looks_like_token(f" {TOKEN}"), looks_like_token("worker-1")) == (GENESIS, True, False)
    bare = Invite(GENESIS.encode(), "bob")
    assert read_token(write_token(bare)) == bare


@given(keep=st.integers(0, len(TOKEN) - 1))
def test_a_token_that_is_cut_off_says_so(keep: int) -> None:
    """Wherever it ends too early."""
    with pytest.raises(InviteError, match=r"cut off|begins with|empty"):
        read_token(TOKEN[:keep])


@given(at=st.integers(len(PREFIX) + 12, len(TOKEN) - 1), char=st.sampled_from("abcdefghijklmnopqrstuvwxyz234567"))
def test_a_mistyped_token_says_so(at: int, char: str) -> None:
    """One other character anywhere after the length."""
    changed = TOKEN[:at] + char + TOKEN[at + 1 :]
    if changed != TOKEN and at < len(TOKEN) - 1:
        with pytest.raises(InviteError, match="mistyped"):
            read_token(changed)


@given(st.text(max_size=80))
def test_any_text_is_an_invitation_or_an_error(text: str) -> None:
    """No other exception leaves the reader."""
    for odd in (text, PREFIX + text, TOKEN + text.strip() + "a"):
        with pytest.raises(InviteError):
            read_token(odd)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("hello", "begins with 'p2pwf1-'"),
        (PREFIX, "cut off right at its beginning"),
        (TOKEN.replace(TOKEN[60], "1", 1), "only a–z and 2–7"),
        (TOKEN + "aaaaaaaa", "something follows"),
        ("x" * 300_000, "no invitation"),
    ],
)
def test_what_is_wrong_is_said(text: str, words: str) -> None:
    """Each mistake has its own words, and all the same advice."""
    with pytest.raises(InviteError, match=words) as caught:
        read_token(text)
    assert "copy the whole token" in caught.value.advice


def test_a_token_of_another_version_says_so() -> None:
    """A later program's token is no mistyped one."""
    from scheduler import invite

    text = invite._FORM.write(encode({"v": 2, "anything": 1}))
    with pytest.raises(InviteError, match="version 2"):
        read_token(text)


def test_what_no_token_can_hold_is_refused_when_writing() -> None:
    """A genesis that is none."""
    with pytest.raises(InviteError, match="made wrongly"):
        write_token(Invite(b"\xa0", "alice"))
