"""What the URL of a Redis store says, and that a wrong one is refused without repeating it."""

import pytest

from holdfast.errors import ConfigurationError
from holdfast.stores.redis.address import parse


def test_a_single_server_is_named_by_host_port_and_database() -> None:  # E22
    address = parse("redis://ann:p%40ss@redis.example:6380/3?wait_replicas=2&shards=8")
    assert (address.mode, address.hosts, address.database) == ("single", (("redis.example", 6380),), 3)
    assert (address.username, address.password, address.tls) == ("ann", "p@ss", False)
    assert (address.wait_replicas, address.shards) == (2, 8)


def test_what_is_left_out_is_usual() -> None:  # E22
    address = parse("redis://")
    assert (address.hosts, address.database, address.password, address.shards) == (
        (("localhost", 6379),),
        0,
        None,
        None,
    )
    assert parse("redis+sentinel://a,b:1/main").hosts == (("a", 26379), ("b", 1))
    assert parse("redis+cluster://[::1]:7000,b").hosts == (("::1", 7000), ("b", 6379))


def test_tls_is_asked_for_by_scheme_or_option() -> None:  # E22
    assert parse("rediss://host").tls
    assert parse("redis+cluster://host?tls=1").tls
    assert not parse("redis+cluster://host?tls=0").tls


def test_a_sentinel_url_names_a_service_and_a_database() -> None:  # E22
    address = parse("redis+sentinel://:secret@a:1,b:2/main/4")
    assert (address.service, address.database, address.password) == ("main", 4, "secret")


def test_what_is_shown_of_it_has_no_secret() -> None:
    assert parse("redis://ann:secret@host:1/2?wait_replicas=1").plain == "redis://host:1/2"


@pytest.mark.parametrize(
    "url",
    [
        "redis://a,b",
        "redis://:secret@host:port",
        "redis://:secret@host/x",
        "redis://:secret@host/0/1",
        "redis://:secret@host?shard=1",
        "redis://:secret@host?shards=0",
        "redis://:secret@host?shards=many",
        "redis+sentinel://:secret@host",
        "redis+cluster://:secret@host/1",
        "redis+other://:secret@host",
    ],
)
def test_a_wrong_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(url)
    assert "secret" not in f"{caught.value} {caught.value.hint} {caught.value.__cause__}"
