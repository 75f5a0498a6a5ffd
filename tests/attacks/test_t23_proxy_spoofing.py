"""T23: a client says in headers of proxies that it is somebody else (R51)."""

from pathlib import Path

from attacks.world import UNKNOWN, Target, raw_post, target
from e2e.mcp_world import request
from stores.stores import Place

OTHER_HEADERS = ("X-Real-IP", "True-Client-IP", "Forwarded", "CF-Connecting-IP", "X-Client-IP", "X_Forwarded_For")

CHAINS = {
    ("X-Forwarded-For: 203.0.113.9",): "203.0.113.9",
    ("X-Forwarded-For: 1.1.1.1, 203.0.113.9",): "203.0.113.9",
    ("X-Forwarded-For: 1.1.1.1", "X-Forwarded-For: 203.0.113.9"): "203.0.113.9",
    ("X-Forwarded-For: 203.0.113.9", "X-Forwarded-For: 10.1.2.3"): "203.0.113.9",
    ("X-Forwarded-For: 1.1.1.1, 203.0.113.9, 10.1.2.3, 10.9.9.9",): "203.0.113.9",
    ("X-Forwarded-For: 10.1.2.3, 127.0.0.1",): "10.1.2.3",
    ("X-Forwarded-For: unknown",): "127.0.0.1",
    ("X-Forwarded-For: 1.1.1.1, _hidden",): "127.0.0.1",
    ("X-Forwarded-For: 1.1.1.1, ",): "127.0.0.1",
    ("X-Forwarded-For: 203.0.113.9\t, 10.0.0.1:8080",): "203.0.113.9",
    ("X-Forwarded-For: [2001:db8::9]:443",): "2001:db8::9",
    ("X-Forwarded-For: ::ffff:10.0.0.7, ::ffff:203.0.113.9",): "203.0.113.9",
    ("X-Forwarded-For: 1.1.1.1," + "10.0.0.1," * 6_000 + "10.0.0.2",): "1.1.1.1",
    ("X-Forwarded-For: 1.1.1.1'; DROP TABLE node --",): "127.0.0.1",
    ("X-Forwarded-For: 203.0.113.9", *(f"{name}: 1.1.1.1" for name in OTHER_HEADERS)): "203.0.113.9",
}  # the lines of a request, and whose it is if PROXIES are trusted
PROXIES = '["127.0.0.0/8", "10.0.0.0/8"]'


async def believed(attacked: Target, *lines: str) -> str:
    """Return the address that the servers take a request with these lines to come from."""
    known = len(attacked.told("unknown_id"))
    await attacked.raw(raw_post(request("ping"), f"X-Session-ID: {UNKNOWN}", *lines, "Connection: close"))
    [event] = attacked.told("unknown_id")[known:]
    return str(event["address"])


async def test_without_trusted_proxies_no_header_moves_a_client(sqlite: Place, tmp_path: Path) -> None:  # R51
    async with target(sqlite, tmp_path) as attacked:
        for name in ("X-Forwarded-For", *OTHER_HEADERS):
            value = "for=203.0.113.9" if name == "Forwarded" else "203.0.113.9"
            assert await believed(attacked, f"{name}: {value}") == "127.0.0.1", name


async def test_a_chain_is_believed_as_far_as_its_proxies_are_trusted(sqlite: Place, tmp_path: Path) -> None:  # R51
    async with target(sqlite, tmp_path, settings={"TRUSTED_PROXIES": PROXIES}) as attacked:
        for lines, expected in CHAINS.items():
            assert await believed(attacked, *lines) == expected, lines[0][:60]


async def test_limits_and_fingerprints_see_through_the_spoof(sqlite: Place, tmp_path: Path) -> None:  # R51, E11
    settings = {"KINDS": '{"mcp": {"per_client": 2, "policy": "reject"}}'}
    async with target(sqlite, tmp_path, settings=settings) as attacked:
        for _ in range(2):
            await attacked.session(x_forwarded_for="198.51.100.1")
        refused = await attacked.post(
            {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": INITIALIZE}, x_forwarded_for="198.51.100.2"
        )
        assert refused.status_code == 429
        assert {record.client for record in await attacked.records()} == {"127.0.0.1"}


INITIALIZE = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "a", "version": "1"}}
