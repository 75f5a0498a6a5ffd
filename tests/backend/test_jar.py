"""The jar of one session (A21)."""

from hypothesis import given
from hypothesis import strategies as st

from holdfast.backend.jar import MOST_COOKIES, Jar

URL = "https://sap.example/sap/bc/adt/core/discovery"
ADT = "https://sap.example/sap/bc/adt/oo/classes/zcl_a"
LONG_AGO = "Thu, 01-Jan-1970 00:00:00 GMT"


def test_longer_paths_come_first_and_older_before_newer() -> None:
    jar = Jar()
    jar.absorb(URL, ["a=1; path=/", "b=2; path=/sap/bc/adt", "c=3; path=/"], now=0)
    assert jar.header(ADT, now=0) == "b=2; a=1; c=3"


def test_a_cookie_goes_only_where_it_belongs() -> None:
    jar = Jar()
    jar.absorb(URL, ["ctx=1; path=/sap/bc/adt", "usr=2; path=/"], now=0)
    assert jar.header("https://sap.example/sap/public/bc/icf/logoff", now=0) == "usr=2"
    assert jar.header("https://other.example/sap/bc/adt", now=0) == ""


def test_the_context_cookie_is_deleted_on_every_path_it_was_set_for() -> None:
    # ADT §2.1: several Set-Cookie lines, also on error answers
    jar = Jar()
    jar.absorb(URL, ["sap-contextid=SID%3a1; path=/sap/bc/adt", "sap-contextid=SID%3a1; path=/sap"], now=0)
    gone = [f"sap-contextid=0; expires={LONG_AGO}; path={path}" for path in ("/sap", "/sap/bc", "/sap/bc/adt")]
    assert jar.absorb(URL, gone, now=0)
    assert jar.get("sap-contextid") is None
    assert jar.header(ADT, now=0) == ""


def test_of_more_cookies_than_a_session_may_have_the_oldest_go() -> None:
    jar = Jar()
    jar.absorb(URL, [f"c{number}=1; path=/" for number in range(MOST_COOKIES + 2)], now=0)
    assert jar.names() == [f"c{number}" for number in range(2, MOST_COOKIES + 2)]


def test_only_a_changed_value_counts_as_a_change() -> None:
    jar = Jar()
    assert jar.absorb(URL, ["a=1; path=/"], now=0)
    assert not jar.absorb(URL, ["a=1; path=/; HttpOnly"], now=0)
    assert jar.absorb(URL, ["a=2; path=/"], now=0)


def test_a_cookie_is_gone_at_the_instant_it_expires() -> None:
    jar = Jar()
    jar.absorb(URL, ["a=1; path=/; max-age=10"], now=0)
    assert jar.header(URL, now=9.9) == "a=1"
    assert jar.header(URL, now=10) == ""


def test_a_secure_cookie_stays_off_an_insecure_connection_and_is_not_written_over_from_there() -> None:
    jar = Jar()
    jar.absorb(URL, ["a=1; path=/; Secure"], now=0)
    assert jar.header("http://sap.example/sap", now=0) == ""
    jar.absorb("http://sap.example/sap/x", ["a=evil; path=/"], now=0)
    assert jar.header(URL, now=0) == "a=1"


def test_the_own_machine_counts_as_secure() -> None:
    jar = Jar()
    jar.absorb("http://127.0.0.1:50000/sap", ["a=1; path=/; Secure"], now=0)
    assert jar.header("http://127.0.0.1:50000/sap", now=0) == "a=1"


def test_a_jar_is_plain_values_and_back() -> None:
    jar = Jar()
    jar.absorb(URL, ["a=1; path=/; Secure; HttpOnly; max-age=60", "b=2"], now=0)
    again = Jar.load(jar.dump())
    assert again.dump() == jar.dump()
    assert again.header(URL, now=0) == jar.header(URL, now=0)


def test_no_representation_shows_a_value() -> None:
    jar = Jar()
    jar.absorb(URL, ["name=secret"], now=0)
    assert "secret" not in repr(jar)
    assert "name" in repr(jar)


names = st.sampled_from(["a", "b", "sap-contextid"])
paths = st.sampled_from(["/", "/sap", "/sap/bc/adt", "/other"])
values = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"], exclude_characters=";= \t\xa0"), min_size=1)


@given(st.lists(st.tuples(names, values, paths, st.booleans()), max_size=30))
def test_what_is_sent_is_exactly_the_last_value_set_for_each_name_and_path(
    steps: list[tuple[str, str, str, bool]],
) -> None:
    jar = Jar()
    expected: dict[tuple[str, str], str] = {}
    for name, value, path, deleted in steps:
        end = f"; expires={LONG_AGO}" if deleted else ""
        jar.absorb(URL, [f"{name}={value}; path={path}{end}"], now=0)
        expected[name, path] = "" if deleted else value
    sent = jar.header(ADT, now=0)
    belonging = [f"{name}={value}" for (name, path), value in expected.items() if value and path != "/other"]
    assert sorted(sent.split("; ") if sent else []) == sorted(belonging)


@given(st.binary(max_size=200))
def test_no_line_whatever_breaks_a_jar(line: bytes) -> None:
    jar = Jar()
    jar.absorb(URL, [line.decode("latin-1")], now=0)
    assert Jar.load(jar.dump()).header(URL, now=0) == jar.header(URL, now=0)
