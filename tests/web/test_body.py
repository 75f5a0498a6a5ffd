"""Reading a bounded body."""

from collections.abc import Sequence

import pytest

from holdfast._asgi import Message, Receive
from holdfast.web.body import BodyTooLarge, ClientGone, read_body


def receiver(*messages: Message) -> Receive:
    left = list(messages)

    async def receive() -> Message:
        return left.pop(0) if left else {"type": "http.disconnect"}

    return receive


def chunks(parts: Sequence[bytes], *, end: bool = True) -> Receive:
    last = len(parts) - 1
    return receiver(
        *({"type": "http.request", "body": part, "more_body": not end or n < last} for n, part in enumerate(parts))
    )


@pytest.mark.parametrize("parts", [[b"abcd"], [b"ab", b"cd"], [b"", b"abcd", b""], [b"a", b"b", b"c", b"d"]])
async def test_a_body_arrives_whole_in_however_many_pieces(parts: list[bytes]) -> None:
    assert await read_body(chunks(parts), 4) == b"abcd"


@pytest.mark.parametrize("parts", [[b"abcde"], [b"abcd", b"e"]])
async def test_one_byte_too_many_is_refused(parts: list[bytes]) -> None:
    with pytest.raises(BodyTooLarge, match=r"limit is 4"):
        await read_body(chunks(parts), 4)


async def test_a_length_over_the_limit_is_refused_before_reading_and_names_both_sizes() -> None:
    with pytest.raises(BodyTooLarge, match=r"5000000 bytes; the limit is 4"):
        await read_body(receiver(), 4, b"5000000")


@pytest.mark.parametrize("declared", [b"", b"two", b"-1", "²".encode("latin-1"), b"1_0", b"0" * 5000 + b"2"])
async def test_a_length_that_says_nothing_is_as_none(declared: bytes) -> None:
    assert await read_body(chunks([b"ab"]), 4, declared) == b"ab"


async def test_a_length_with_more_digits_than_a_number_may_have_is_refused_as_too_large() -> None:
    with pytest.raises(BodyTooLarge):
        await read_body(chunks([b"ab"]), 4, b"9" * 5000)


async def test_a_client_that_leaves_in_the_middle_leaves_no_half_body() -> None:
    with pytest.raises(ClientGone):
        await read_body(chunks([b"ab"], end=False), 4)


async def test_what_follows_a_body_over_the_limit_is_read_and_forgotten_so_that_the_answer_arrives() -> None:
    parts = [b"abcde", b"fg", b"h"]
    receive = chunks(parts)
    with pytest.raises(BodyTooLarge):
        await read_body(receive, 4)
    assert (await receive())["type"] == "http.disconnect"
    receive = chunks(parts)
    with pytest.raises(BodyTooLarge):
        await read_body(receive, 4, b"8")
    assert (await receive())["type"] == "http.disconnect"


async def test_forgetting_is_bounded() -> None:
    sent = 0

    async def endless() -> Message:
        nonlocal sent
        sent += 1024 * 1024
        return {"type": "http.request", "body": b"x" * 1024 * 1024, "more_body": True}

    with pytest.raises(BodyTooLarge):
        await read_body(endless, 4)
    assert sent <= 20 * 1024 * 1024
