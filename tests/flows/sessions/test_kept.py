"""What is kept of a scope, whatever order the answers of parallel calls come in."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.backend.cookies import Cookie
from holdfast.flows.sessions.kept import Answer, Content, Sessions
from holdfast.flows.sessions.scopes import Channel

NOW = 1_800_000_000.0
URL = "https://erp.example/orders"
RECEIVER = "erp.example:443"


def answer(
    *lines: str,
    using: str = "",
    refused: bool = False,
    status: int = 200,
    sent: tuple[Cookie, ...] = (),
    **channel: Any,
) -> Answer:
    return Answer(
        sent=sent,
        url=URL,
        receiver=RECEIVER,
        channel=Channel(name="erp", **channel),
        user="anna",
        using=using,
        refused=refused,
        status=status,
        lines=lines,
    )


def current(sessions: Sessions) -> str:
    found = sessions.going(URL, RECEIVER, now=NOW).session
    return found.id if found else ""


def opened(line: str = "S=1; Path=/", *more: str, **channel: Any) -> Sessions:
    sessions = Sessions(Content())
    assert sessions.take(answer(line, *more, **channel), now=NOW).opened
    return sessions


def test_what_is_kept_is_plain_values_and_back() -> None:
    sessions = opened()
    again = Sessions.load(sessions.dump())
    assert again.dump() == sessions.dump()
    assert current(again) == current(sessions) != ""


def test_a_session_keeps_its_newest_tokens() -> None:
    sessions = opened()
    for number in [*range(30), 5]:
        sessions.keep_token(sessions.opened[0], f"service {number}", f"token {number}")
    tokens = Sessions.load(sessions.dump()).opened[0].tokens
    assert list(tokens)[-2:] == ["service 29", "service 5"]
    assert (len(tokens), tokens["service 5"]) == (20, "token 5")
    assert "token" not in repr(sessions.opened)
    assert current(sessions)


def test_a_session_is_dropped_once_and_its_cookies_with_it() -> None:
    # F6
    sessions = opened()
    known = current(sessions)
    assert [sessions.drop(each).changed for each in ("", known, known)] == [False, True, False]
    assert (current(sessions), sessions.jar.names()) == ("", [])


def test_that_a_receivers_state_is_lost_is_kept() -> None:
    # F7
    sessions = opened()
    sessions.lose(RECEIVER)
    assert Sessions.load(sessions.dump()).lost == {RECEIVER}


def test_the_second_of_two_parallel_logons_leaves_the_first_session() -> None:
    # F13
    sessions = opened()
    assert not sessions.take(answer("S=2; Path=/"), now=NOW).changed
    assert sessions.jar.header(URL, now=NOW) == "S=1"


def test_the_late_word_of_a_dead_session_deletes_no_living_one() -> None:
    # F7
    sessions = opened()
    dead = current(sessions)
    sessions.take(answer(using=dead, refused=True, status=401), now=NOW)
    assert current(sessions) == ""
    sessions.take(answer("S=2; Path=/"), now=NOW)
    late = answer("S=; Path=/; Max-Age=0", using=dead, refused=True, status=401)
    assert not sessions.take(late, now=NOW).changed
    assert sessions.jar.header(URL, now=NOW) == "S=2"


def test_a_refusal_of_a_cookie_that_was_renewed_meanwhile_ends_no_session() -> None:
    # F7: a worker may know the older value
    sessions = opened()
    using, older = current(sessions), tuple(sessions.jar.belonging(URL, now=NOW))
    sessions.take(answer("S=2; Path=/", using=using), now=NOW)
    late = answer("S=; Path=/; Max-Age=0", using=using, refused=True, status=401, sent=older)
    assert not sessions.take(late, now=NOW).changed
    assert (current(sessions), sessions.jar.header(URL, now=NOW)) == (using, "S=2")
    newest = tuple(sessions.jar.belonging(URL, now=NOW))
    assert sessions.take(answer(using=using, refused=True, status=401, sent=newest), now=NOW).changed
    assert current(sessions) == ""


def test_a_refused_logon_opens_nothing() -> None:
    sessions = Sessions(Content())
    assert not sessions.take(answer("S=1; Path=/", status=401), now=NOW).opened
    assert current(sessions) == ""


def test_a_receiver_without_cookies_is_told_of_once() -> None:
    # F2
    sessions = Sessions(Content())
    assert [sessions.take(answer(), now=NOW).silent for _ in range(2)] == [True, False]
    assert sessions.take(answer("S=1; Path=/"), now=NOW).opened
    assert not sessions.silent


def test_a_call_to_which_not_all_cookies_go_is_in_no_session() -> None:
    # F6: the cookie of a load balancer is no logon
    sessions = opened("S=1; Path=/orders", "route=a; Path=/")
    assert sessions.going("https://erp.example/other", RECEIVER, now=NOW).session is None
    assert current(sessions)


def test_the_cookies_of_a_session_can_be_named() -> None:
    sessions = opened("S=1; Path=/", "token=a; Path=/other", cookies=("S",))
    assert current(sessions)
    changed = answer("token=b; Path=/other", using=current(sessions))
    assert not sessions.take(changed, now=NOW).replaced
    assert sessions.take(answer("S=2; Path=/", using=current(sessions)), now=NOW).replaced


def test_another_port_is_another_server() -> None:
    assert opened().going("https://erp.example:8443/orders", "erp.example:8443", now=NOW).session is None


def test_no_representation_shows_a_value() -> None:
    sessions = opened("S=value-of-it; Path=/")
    assert "value-of-it" not in repr(sessions) + repr(sessions.opened) + repr(sessions.jar)


# Calls are begun in whatever session is there, and answered later in any order. The server drops sessions now and then.
moves = st.lists(st.tuples(st.sampled_from(["begin", "answer", "drop"]), st.integers(0, 10)), max_size=60)


@settings(max_examples=100)
@given(moves)
def test_in_any_order_of_answers_there_is_one_session_at_most_and_it_is_the_servers(played: list[Any]) -> None:
    # F7, F13
    sessions, alive, number = Sessions(Content()), set[str](), 0
    under_way: list[tuple[str, str]] = []  # the session a call went out in, and the cookie that it carried
    for what, at in played:
        if what == "begin":
            under_way.append((current(sessions), sessions.jar.header(URL, now=NOW)))
        elif what == "drop":
            alive.clear()
        elif under_way:
            using, cookie = under_way.pop(at % len(under_way))
            if using and cookie not in alive:
                sessions.take(answer("S=; Path=/; Max-Age=0", using=using, refused=True, status=401), now=NOW)
            elif not using:
                number += 1
                alive.add(f"S={number}")
                sessions.take(answer(f"S={number}; Path=/"), now=NOW)
        assert len(sessions.opened) <= 1
        assert (sessions.jar.header(URL, now=NOW) != "") == (current(sessions) != "")
    for _ in range(2):  # whatever has happened, the next call or its repetition is in a living session
        if (cookie := sessions.jar.header(URL, now=NOW)) not in alive:
            if cookie:
                sessions.take(answer(using=current(sessions), refused=True, status=401), now=NOW)
            alive.add("S=last")
            sessions.take(answer("S=last; Path=/"), now=NOW)
    assert sessions.jar.header(URL, now=NOW) in alive
