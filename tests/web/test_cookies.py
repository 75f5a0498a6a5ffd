"""The cookies that carry session ids."""

import logging
from typing import Any

import pytest

from holdfast.errors import BadInput, ConfigurationError
from holdfast.web.address import Proxies
from holdfast.web.cookies import Cookie, TwoCookies

VALUE = "A" * 43


def scope(
    *cookies: str, scheme: str = "https", client: str = "192.0.2.1", server: str = "192.0.2.9", **headers: str
) -> dict[str, Any]:
    lines = [(b"cookie", cookie.encode("latin-1")) for cookie in cookies]
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "scheme": scheme, "headers": [*lines, *named], "client": (client, 1), "server": (server, 2)}


def here(*cookies: str) -> dict[str, Any]:
    return scope(*cookies, scheme="http", client="127.0.0.1", server="127.0.0.1", host="localhost:8000")


def test_over_tls_a_cookie_is_bound_to_its_host_and_hidden_from_scripts() -> None:  # R14, S10
    header = Cookie("shop").put(scope(), VALUE)
    assert header == (b"set-cookie", f"__Host-shop={VALUE}; Path=/; HttpOnly; SameSite=Lax; Secure".encode())
    assert Cookie("shop").read(scope(f"other=1; __Host-shop={VALUE}")) == VALUE


def test_over_plain_http_it_stays_on_this_machine(caplog: pytest.LogCaptureFixture) -> None:  # R21, S10
    cookie = Cookie("shop")
    assert cookie.put(here(), VALUE) == (b"set-cookie", f"shop={VALUE}; Path=/; HttpOnly; SameSite=Lax".encode())
    assert cookie.read(here(f"shop={VALUE}")) == VALUE
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert cookie.put(scope(scheme="http", host="shop.example"), VALUE) is None
    assert len(caplog.records) == 1
    assert cookie.read(scope(f"shop={VALUE}; __Host-shop={VALUE}", scheme="http")) is None  # T32
    rebound = here(f"shop={VALUE}")
    rebound["headers"] = [*rebound["headers"][:1], (b"host", b"evil.test")]
    assert cookie.read(rebound) is None


@pytest.mark.parametrize("said", ["https", "http, https", "HTTPS"])
def test_a_proxy_is_believed_that_it_took_tls_if_it_is_trusted(said: str) -> None:  # T32, R51
    cookie = Cookie("shop", proxies=Proxies(["10.0.0.0/8"]))
    assert cookie.put(scope(scheme="http", client="10.0.0.7", x_forwarded_proto=said), VALUE) is not None
    assert cookie.put(scope(scheme="http", client="192.0.2.1", x_forwarded_proto=said), VALUE) is None
    assert cookie.put(scope(scheme="https", client="10.0.0.7", x_forwarded_proto="http"), VALUE) is None
    assert cookie.put(scope(scheme="https", client="10.0.0.7", x_forwarded_proto="ftp"), VALUE) is not None


@pytest.mark.parametrize(
    "cookies", [(f"__Host-shop={VALUE}; __Host-shop=x",), (f"__Host-shop={VALUE}", f"__Host-shop={VALUE}")]
)
def test_two_cookies_of_one_name_are_refused(cookies: tuple[str, ...]) -> None:  # R18, T3
    with pytest.raises(TwoCookies, match="__Host-shop came twice or more"):
        Cookie("shop").read(scope(*cookies))


@pytest.mark.parametrize("name", ["__Host-shop", "__host-shop", "__SECURE-x", "__Http-x", "", "a b", "a=b", "a;b", "ä"])
def test_names_that_browsers_or_prefixes_forbid_are_refused_at_the_start(name: str) -> None:  # R14
    with pytest.raises(ConfigurationError):
        Cookie(name)


def test_what_other_sites_see_has_to_say_so() -> None:  # R16
    with pytest.raises(ConfigurationError, match="partitioned"):
        Cookie("shop", partitioned=True)
    with pytest.raises(ConfigurationError, match="same_site"):
        Cookie("shop", same_site="Lax")  # type: ignore[arg-type]
    header = Cookie("shop", same_site="none", partitioned=True).put(scope(), VALUE)
    assert header is not None
    assert header[1].endswith(b"; SameSite=None; Secure; Partitioned")


def test_a_cookie_that_browsers_would_drop_is_an_error() -> None:  # R17
    with pytest.raises(BadInput, match="4108 bytes"):
        Cookie("x" * 96, same_site="strict").put(scope(), "v" * 4005)


def test_it_is_cleared_as_it_was_set() -> None:  # R20
    assert Cookie("shop").clear(scope()) == (
        b"set-cookie",
        b"__Host-shop=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax; Secure",
    )
    assert Cookie("shop").clear(scope(scheme="http")) is None


@pytest.mark.parametrize(
    "line", ["a" * 65_536, ";" * 65_536, "=" * 65_536, "a=b;" * 10_000, '"\x00\xff=;' * 9000, "__Host-shop" * 6000]
)
def test_large_and_odd_cookie_headers_hold_no_cookie_of_ours(line: str) -> None:  # R4, T18
    assert Cookie("shop").read(scope(line)) is None


def test_a_cookie_for_requests_of_other_sites_is_lax_where_it_cannot_be_secure() -> None:  # R16
    header = Cookie("saml", same_site="none").put(here(), VALUE)
    assert header is not None
    assert header[1].endswith(b"SameSite=Lax")
