"""Where a request comes from, through trusted proxies only (E11)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import ConfigurationError
from holdfast.web.address import Proxies, network_of

TRUSTED = ["10.0.0.0/8", "::1", "192.0.2.7"]


def scope(peer: str | None, *forwarded: str) -> dict[str, object]:
    headers = [(b"x-forwarded-for", line.encode("latin-1")) for line in forwarded]
    return {"client": (peer, 1) if peer else None, "headers": [(b"host", b"h"), *headers]}


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.5", [], "203.0.113.5"),
        ("203.0.113.5", ["198.51.100.1"], "203.0.113.5"),  # nobody we trust says so
        ("10.1.2.3", [], "10.1.2.3"),
        ("10.1.2.3", ["198.51.100.1"], "198.51.100.1"),
        ("10.1.2.3", ["6.6.6.6, 198.51.100.1"], "198.51.100.1"),  # what the client made up stands to the left
        ("10.1.2.3", ["6.6.6.6, 198.51.100.1, 10.9.9.9,192.0.2.7"], "198.51.100.1"),
        ("10.1.2.3", ["6.6.6.6", "198.51.100.1", "10.9.9.9"], "198.51.100.1"),
        ("10.1.2.3", ["10.7.7.7, 10.9.9.9"], "10.7.7.7"),
        ("10.1.2.3", ["198.51.100.1:4711"], "198.51.100.1"),
        ("10.1.2.3", ["[2001:db8::1]:4711"], "2001:db8::1"),
        ("::1", ["2001:0db8:0::1"], "2001:db8::1"),
        ("::ffff:10.1.2.3", ["198.51.100.1"], "198.51.100.1"),  # how a socket that listens on `::` names an IPv4 peer
        ("10.1.2.3", ["198.51.100.1, ::ffff:10.9.9.9"], "198.51.100.1"),
        ("10.1.2.3", ["::ffff:198.51.100.1"], "198.51.100.1"),
        ("::ffff:203.0.113.5", ["198.51.100.1"], "::ffff:203.0.113.5"),
        ("10.1.2.3", ["unknown"], "10.1.2.3"),
        ("10.1.2.3", ["198.51.100.1, nonsense"], "10.1.2.3"),
        ("10.1.2.3", ["198.51.100.1, \xff, 10.9.9.9"], "10.9.9.9"),
        (None, ["198.51.100.1"], ""),
        ("socket", ["198.51.100.1"], "socket"),
    ],
)
def test_the_address_is_the_last_one_that_a_trusted_proxy_names(
    peer: str | None, forwarded: list[str], address: str
) -> None:
    assert Proxies(TRUSTED).client_of(scope(peer, *forwarded)) == address


def test_without_trusted_proxies_the_header_is_never_read() -> None:
    assert Proxies().client_of(scope("10.1.2.3", "198.51.100.1")) == "10.1.2.3"


@given(st.text())
def test_no_header_of_an_untrusted_peer_changes_its_address_and_none_breaks_a_trusted_one(text: str) -> None:
    raw = {"client": ("203.0.113.5", 1), "headers": [(b"x-forwarded-for", text.encode())]}
    assert Proxies(TRUSTED).client_of(raw) == "203.0.113.5"
    assert Proxies(TRUSTED).client_of(raw | {"client": ("10.1.2.3", 1)})


def test_a_proxy_that_is_no_address_is_refused_at_start() -> None:
    with pytest.raises(ConfigurationError, match=r"trusted_proxies: 'proxy.example' is no address"):
        Proxies(["proxy.example"])


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("2001:db8:0:1::9", "2001:db8:0:1::/64"),
        ("2001:db8:0:1:ffff::", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("no address", "no address"),
    ],
)
def test_of_an_ipv6_address_the_network_counts(address: str, counted: str) -> None:  # E11, T19
    assert network_of(address) == counted
