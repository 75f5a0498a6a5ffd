"""Who somebody is, in one name, and the token that all share."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.identity import Identity, InvalidToken
from holdfast.identity.facts import NOBODY, named
from holdfast.identity.remembered import Remembered
from holdfast.identity.static import StaticToken

WORDS = st.text(max_size=20)


@given(WORDS, WORDS, WORDS, WORDS, WORDS, WORDS)
def test_different_people_have_different_names(a: str, b: str, c: str, d: str, e: str, f: str) -> None:
    # M12: issuer, subject and client, however they are spelt
    one, other = Identity(issuer=a, subject=b, client=c), Identity(issuer=d, subject=e, client=f)
    assert (one.principal == other.principal) == ((a, b, c) == (d, e, f))


@given(WORDS, WORDS, WORDS)
def test_a_name_is_printable_and_says_who_it_is(issuer: str, subject: str, client: str) -> None:
    # T22: it stands in logs
    who = Identity(issuer=issuer, subject=subject, client=client)
    assert who.principal.isascii()
    assert who.principal.isprintable()
    assert " " not in who.principal
    assert named(who.principal) == who


def test_nobody_has_no_name() -> None:
    assert NOBODY.principal == ""


async def test_the_token_that_all_share_is_compared_as_a_whole() -> None:
    known = StaticToken("s3cret", principal="build")
    assert (await known.verify("s3cret")).principal == "build"
    for wrong in ("", "s3cre", "s3crets", "S3CRET", "é"):
        with pytest.raises(InvalidToken):
            await known.verify(wrong)


def test_of_what_was_found_out_the_least_used_is_forgotten() -> None:
    found: Remembered[int] = Remembered(2)
    found.keep("a", 1)
    found.keep("b", 2)
    assert found.of("a") == 1
    found.keep("c", 3)
    assert [found.of(token) for token in "abc"] == [1, None, 3]
    assert len(found) == 2
