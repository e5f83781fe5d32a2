"""No form of a secret passes the masker, however the stream is cut; everything else does."""

from __future__ import annotations

import base64
import json
import string
from collections.abc import Callable
from random import Random
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.running.masking import MASK, Form, Masker, forms_of, mask_text

VALUE = 'pä/ss+wörd?&="quoted" %\\end'


def mask(pieces: list[bytes], secrets: list[str]) -> bytes:
    """Return a stream masked, piece by piece."""
    masker = Masker(secrets)
    return b"".join([*(masker.feed(piece) for piece in pieces), masker.finish()])


FORMS = {
    "plain": VALUE.encode(),
    "base64": base64.b64encode(VALUE.encode()),
    "base64 behind one": base64.b64encode(b"x" + VALUE.encode() + b"yz"),
    "base64 behind two": base64.b64encode(b"xy" + VALUE.encode() + b"z"),
    "base64 without padding": base64.b64encode(VALUE.encode()).rstrip(b"="),
    "base64 for URLs": base64.urlsafe_b64encode(b"??" + VALUE.encode()),
    "URL": quote(VALUE, safe="").encode(),
    "URL with slashes": quote(VALUE).encode(),
    "URL with plus": quote_plus(VALUE).encode(),
    "URL in small letters": b"".join(
        b"%%%02x" % b if b > 127 or not chr(b).isalnum() else bytes([b]) for b in VALUE.encode()
    ),
    "JSON": json.dumps(VALUE)[1:-1].encode(),
    "JSON as it is": json.dumps(VALUE, ensure_ascii=False)[1:-1].encode(),
    "broken over lines": b"\r\n".join(VALUE.encode()[at : at + 5] for at in range(0, len(VALUE.encode()), 5)),
}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_masked(form: str) -> None:
    """What programs print of a secret in a usual form shows no four bytes of it but at base64's own borders."""
    printed = mask([b"before " + FORMS[form] + b" after"], [VALUE])
    assert MASK in printed
    assert printed.startswith(b"before ")
    assert printed.endswith(b" after")
    assert len(printed) <= len(b"before  after" + MASK) + 4 + 4  # a letter each side, padding, what stood around it


MARKED = "p@ss!(word)*&<tok>/x+y 'q'~"


@pytest.mark.parametrize(
    "printed",
    [
        "p%40ss!(word)*%26%3Ctok%3E%2Fx%2By%20'q'~",  # encodeURIComponent of JavaScript
        "p@ss!(word)*&%3Ctok%3E/x+y%20'q'~",  # encodeURI
        "p%40ss%21%28word%29*%26%3Ctok%3E%2Fx%2By+%27q%27%7E",  # URLSearchParams, and Java's URLEncoder
        r"p@ss!(word)*\u0026\u003ctok\u003e/x+y 'q'~",  # Go's JSON, so toJSON(secrets.X) by act
        r"p@ss!(word)*\u0026\u003Ctok\u003E/x\u002By \u0027q\u0027~",  # .NET's JSON
        "p@ss!(word)*&amp;&lt;tok&gt;/x+y &#x27;q&#x27;~",  # HTML
        "p@ss!(word)*&amp;&lt;tok&gt;/x+y &#39;q&#39;~",
        "p@ss!(word)*&amp;&lt;tok&gt;/x+y 'q'~",
    ],
)
def test_what_other_languages_print_is_masked(printed: str) -> None:
    """Whole: letters that one of them leaves as they are do not break the form."""
    assert mask([f"<{printed}>".encode()], [MARKED]) == b"<***>"


def test_base64_within_a_url_and_lines_in_other_forms_are_masked() -> None:
    """As a token in a query; and a line of a key is a secret in every form."""
    value = "???>>>value"  # its base64 has + and /
    encoded = base64.b64encode(value.encode()).decode()
    assert "+" in encoded
    assert "/" in encoded
    assert len(mask([quote(encoded, safe="").encode()], [value])) <= 3 + 6
    key = "first line here\nsecond-secret-line\n"
    for line in ("first line here", "second-secret-line"):
        assert len(mask([base64.b64encode(line.encode())], [key])) <= 3 + 4
        assert mask([quote(line).encode()], [key]) == b"***"


def test_base64_of_a_long_secret_is_masked_though_it_is_wrapped() -> None:
    """`base64` breaks its lines after 76 letters, wherever the secret begins."""
    secret = "".join(chr(33 + at * 7 % 90) for at in range(300))
    for before in (b"", b"t=", b"token: "):
        printed = mask([base64.encodebytes(before + secret.encode() + b"\n")], [secret])
        assert len(printed) < 24


def test_each_line_of_a_secret_of_several_is_masked() -> None:
    """The lines of a key, one by one and in another order, are masked; a line too short to be one is not."""
    key = "-----BEGIN KEY-----\nline one\r\n  line two\nab\n-----END KEY-----\n"
    printed = mask([b"line two, line one; ab\n" + key.encode() + b"ok\n"], [key])
    assert printed == b"***, ***; ab\n***\nok\n"


@pytest.mark.parametrize("secret", ["", "a", "abc", "\n", "a\nb\nc", "\n\n\n\n\n"])
def test_what_is_too_short_to_be_a_secret_is_left_alone(secret: str) -> None:
    """Empty and very short values mask nothing, rather than everything."""
    assert mask([b"abcabc\n\n\n\n\n\n", b"a\nb\nx"], [secret]) == b"abcabc\n\n\n\n\n\na\nb\nx"


def test_secrets_that_overlap_or_repeat_show_nothing() -> None:
    """Where one secret ends in the beginning of another both are hidden, as is one that is repeated without end."""
    assert mask([b"-abcdXYZ", b"Wzz-abcdXYQ"], ["abcdXY", "XYZWzz"]) == b"-***-***Q"
    masker = Masker(["aaaa"])
    shown = b"".join(masker.feed(b"a" * 1_000) for _ in range(100))
    assert masker.held_bytes < 4
    assert shown + masker.feed(b"b") + masker.finish() == b"***b"


secrets = st.lists(st.text(alphabet=st.sampled_from('ab/+ %"\n\\é'), max_size=12), min_size=1, max_size=3)


def with_letters(form: Form) -> set[bytes]:
    """Return a form alone, and with letters around it that tell of it."""
    return {
        form.text,
        form.ahead[:1] + form.text,
        form.text + form.behind[-1:],
        form.ahead[-1:] + form.text + form.behind[:1],
    }


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[str], bytes, list[bytes]]:
    """Return secrets, a text that has forms of them and parts of forms, and a way to cut it."""
    hidden = draw(secrets)
    forms = sorted({around for secret in hidden for form in forms_of(secret) for around in with_letters(form)}) or [
        b"none"
    ]
    part = st.sampled_from(forms).flatmap(lambda form: st.integers(0, len(form)).map(lambda end: form[:end]))
    text = b"".join(draw(st.lists(st.one_of(st.sampled_from(forms), part, st.binary(max_size=4)), max_size=8)))
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=6)))
    return hidden, text, [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@given(streams())
def test_no_form_passes_and_the_cuts_make_no_difference(stream: tuple[list[str], bytes, list[bytes]]) -> None:
    """Whatever is printed, in whatever pieces: no form comes out, and the same comes out as in one piece."""
    hidden, text, pieces = stream
    printed = mask(pieces, hidden)
    assert printed == mask([text], hidden)
    plain = printed.translate(None, b"\r\n")
    assert not [form for secret in hidden for form in forms_of(secret) if form.text in plain]


@given(
    st.text(alphabet="\t !", max_size=7), st.text(alphabet="\n~;", max_size=7), st.integers(4, 20), st.randoms(),
    st.sampled_from([base64.b64encode, base64.urlsafe_b64encode, base64.encodebytes]),
)  # fmt: skip
def test_base64_tells_nothing_of_a_secret(
    before: str, after: str, length: int, random: Random, encode: Callable[[bytes], bytes]
) -> None:
    """Whatever the secret is, the same is shown: letters that it shares with what is around it are hidden, too."""
    shown = set()
    for _ in range(2):
        secret = "".join(random.choices(string.ascii_letters + string.digits, k=length))
        printed = b"<" + encode(f"{before}{secret}{after}".encode()) + b">"
        cut = random.randrange(len(printed))
        shown.add(mask([printed[:cut], printed[cut:]], [secret]).translate(None, b"\n"))
    assert len(shown) == 1


@given(st.lists(st.binary(max_size=50)), st.text(alphabet="XYZ", min_size=4, max_size=8))
def test_what_is_no_secret_comes_out_as_it_is(pieces: list[bytes], secret: str) -> None:
    """A stream without the secret is not changed, byte for byte."""
    stream = b"".join(pieces).translate(None, b"XYZ")
    if not any(form.text in stream.translate(None, b"\r\n") for form in forms_of(secret)):
        assert mask([stream[:7], stream[7:]], [secret]) == stream


@given(st.lists(st.sampled_from([b"pass", b"\n" * 3_000, b"word", b"pas\n", b"x" * 5_000]), max_size=30))
def test_little_is_held_back(pieces: list[bytes]) -> None:
    """Whatever comes, a bounded number of bytes waits, and none of the others is lost."""
    masker = Masker(["password" * 4])
    shown = b""
    for piece in pieces:
        shown += masker.feed(piece)
        assert masker.held_bytes < 3_000
    whole = b"".join(pieces)
    if b"passwordpassword" not in whole.translate(None, b"\n"):
        assert shown + masker.finish() == whole


def test_a_text_is_masked_at_once() -> None:
    """Outputs and error texts are masked like a stream."""
    assert mask_text("token=hunter22", ["hunter22"]) == "token=***"
    assert mask_text("nothing \udcff", ["hunter22"]) == "nothing \N{REPLACEMENT CHARACTER}"
