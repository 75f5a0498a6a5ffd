"""One Set-Cookie line by RFC 6265bis (A21)."""

import pytest

from holdfast.backend.cookies import Cookie, Origin, domain_matches, parse, parse_date, path_matches

HTTPS = Origin("sap.example", "/sap/bc/adt/core/discovery", secure=True)
HTTP = Origin("sap.example", "/sap/bc/adt/core/discovery", secure=False)


def read(line: str, origin: Origin = HTTPS, **more: object) -> Cookie | None:
    return parse(line, origin, now=1000.0, **more)  # type: ignore[arg-type]


def test_a_value_is_kept_byte_for_byte() -> None:
    # A21
    cookie = read('SAP_SESSIONID_E19_100=a%2bB=="q" ; path=/; HttpOnly')
    assert cookie is not None
    assert cookie.value == 'a%2bB=="q"'
    assert cookie.path == "/"
    assert cookie.http_only


def test_without_a_path_it_belongs_to_the_folder_of_the_request() -> None:
    cookie = read("a=b")
    assert cookie is not None
    assert cookie.path == "/sap/bc/adt/core"


@pytest.mark.parametrize("path", ["", "relative", "?x"])
def test_a_path_that_is_none_counts_as_absent(path: str) -> None:
    cookie = read(f"a=b; path={path}")
    assert cookie is not None
    assert cookie.path == "/sap/bc/adt/core"


@pytest.mark.parametrize(
    ("path", "cookie_path", "matches"),
    [
        ("/sap", "/sap", True),
        ("/sap/bc", "/sap", True),
        ("/sap/bc", "/sap/", True),
        ("/sapling", "/sap", False),
        ("/", "/sap", False),
        ("/x", "/", True),
    ],
)
def test_paths_match_whole_segments(path: str, cookie_path: str, matches: bool) -> None:
    assert path_matches(path, cookie_path) is matches


@pytest.mark.parametrize(
    ("host", "domain", "matches"),
    [
        ("sap.example", "sap.example", True),
        ("dev.sap.example", "sap.example", True),
        ("devsap.example", "sap.example", False),
        ("10.0.0.1", "0.0.1", False),
    ],
)
def test_domains_match_whole_labels_and_never_addresses(host: str, domain: str, matches: bool) -> None:
    assert domain_matches(host, domain) is matches


def test_a_domain_widens_a_cookie_only_where_the_operator_said_so() -> None:
    origin = Origin("dev.sap.example", "/", secure=True)
    alone = read("a=b; domain=sap.example", origin)
    shared = read("a=b; domain=.sap.example", origin, shared_domains=("sap.example",))
    assert alone is not None
    assert (alone.domain, alone.host_only) == ("dev.sap.example", True)
    assert shared is not None
    assert (shared.domain, shared.host_only) == ("sap.example", False)


def test_a_cookie_of_a_foreign_domain_is_refused() -> None:
    assert read("a=b; domain=other.example") is None


@pytest.mark.parametrize(
    "line",
    [
        "a=b; Secure",
        "__Secure-a=b; Secure",
        "__Host-a=b; Secure; Path=/",
    ],
)
def test_a_secure_cookie_cannot_come_from_an_insecure_place(line: str) -> None:
    assert read(line, HTTP) is None
    assert read(line) is not None


@pytest.mark.parametrize(
    "line",
    [
        "__Secure-a=b",
        "__Host-a=b; Secure",
        "__Host-a=b; Secure; Path=/x",
        "__Host-a=b; Secure; Path=/; Domain=sap.example",
        "__host-a=b; Path=/",
        "=__Secure-a; Secure",
    ],
)
def test_a_name_prefix_is_a_promise_that_must_hold(line: str) -> None:
    assert read(line) is None


@pytest.mark.parametrize("line", ["", ";", "a\x00=b", "a=b\x7f", "a=" + "x" * 4096])
def test_what_is_no_cookie_is_passed_over(line: str) -> None:
    assert read(line) is None


def test_a_line_without_an_equals_sign_is_a_value_without_a_name() -> None:
    cookie = read("lonely")
    assert cookie is not None
    assert (cookie.name, cookie.value) == ("", "lonely")


@pytest.mark.parametrize(
    ("line", "expires_at"),
    [
        ("a=b", None),
        ("a=b; max-age=60", 1060.0),
        ("a=b; max-age=0", 1000.0),
        ("a=b; max-age=-5", 1000.0),
        ("a=b; max-age=60; expires=Thu, 01-Jan-1970 00:00:01 GMT", 1060.0),
        ("a=b; max-age=1e9; expires=Thu, 01-Jan-1970 00:00:01 GMT", 1.0),
        ("a=b; expires=Thu, 01-Jan-1970 00:00:01 GMT", 1.0),
        ("a=b; max-age=99999999999", 1000.0 + 400 * 86400),
    ],
)
def test_max_age_counts_before_expires_and_no_cookie_outlives_400_days(line: str, expires_at: float | None) -> None:
    cookie = read(line)
    assert cookie is not None
    assert cookie.expires_at == expires_at


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784111777.0),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 784111777.0),
        ("Sun Nov  6 08:49:37 1994", 784111777.0),
        ("06 nov 94 8:49:37", 784111777.0),
        ("Thu, 01-Jan-1970 00:00:01 GMT", 1.0),
        ("31 Feb 2020 00:00:00", None),
        ("no date at all", None),
        ("06 Nov 1994 25:00:00", None),
    ],
)
def test_dates_are_read_leniently(text: str, instant: float | None) -> None:
    assert parse_date(text) == instant


def test_an_attribute_that_is_too_long_counts_as_absent() -> None:
    # RFC 6265bis §5.6
    cookie = read(f"a=b; path=/sap; path=/{'x' * 1024}")
    assert cookie is not None
    assert cookie.path == "/sap"


def test_no_representation_shows_a_value() -> None:
    cookie = read("a=secret")
    assert "secret" not in repr(cookie)
