"""Who may call from a browser."""

import pytest

from holdfast.web.guard import Guard

LOCAL, PUBLIC = "127.0.0.1", "192.0.2.7"


@pytest.mark.parametrize("host", ["localhost", "localhost:8765", "127.0.0.1:1", "[::1]:8765", "LOCALHOST:80"])
def test_a_local_server_serves_local_names(host: str) -> None:
    assert Guard().refusal(None, host, LOCAL) is None


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", "", None])
def test_a_rebound_name_does_not_reach_a_local_server(host: str | None) -> None:
    assert "Host" in str(Guard().refusal(None, host, LOCAL))


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost.evil.example", "file://", ""])
def test_a_foreign_page_does_not_reach_a_local_server(origin: str) -> None:
    assert "Origin" in str(Guard().refusal(origin, "localhost:8765", LOCAL))


@pytest.mark.parametrize("origin", [None, "http://localhost:3000", "https://127.0.0.1", "http://[::1]:5173"])
def test_local_pages_and_programs_reach_a_local_server(origin: str | None) -> None:
    assert Guard().refusal(origin, "localhost:8765", LOCAL) is None


def test_a_public_server_trusts_no_page_by_itself() -> None:
    # without a list of hosts, Host may be a rebound name, so that a page's own origin proves nothing
    assert Guard().refusal("http://app.example", "app.example", PUBLIC) is not None
    assert Guard().refusal("http://localhost:3000", "app.example", PUBLIC) is not None
    assert Guard().refusal(None, "app.example", PUBLIC) is None


def test_a_public_server_with_named_hosts_trusts_its_own_pages() -> None:
    guard = Guard(allowed_hosts=["app.example"])
    assert guard.refusal("https://app.example", "app.example", PUBLIC) is None
    assert guard.refusal(None, "other.example", PUBLIC) is not None
    assert guard.refusal(None, "localhost:80", PUBLIC) is not None


def test_lists_may_leave_the_port_open() -> None:
    guard = Guard(allowed_origins=["https://app.example:*", "vscode-webview://x"], allowed_hosts=["app.example:*"])
    assert guard.refusal("https://app.example:8443", "app.example:9000", PUBLIC) is None
    assert guard.refusal("vscode-webview://x", "app.example:9000", PUBLIC) is None
    assert guard.refusal("https://app.example.evil:8443", "app.example:9000", PUBLIC) is not None


def test_a_star_allows_everything() -> None:
    assert Guard(["*"], ["*"]).refusal("http://evil.example", "evil.example", LOCAL) is None
