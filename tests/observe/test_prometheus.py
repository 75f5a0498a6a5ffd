"""Prometheus' page over HTTP: at a port of its own, or as an ASGI application; guarded."""

import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from prometheus_client.parser import text_string_to_metric_families

from e2e.wire import Wire
from holdfast.errors import ConfigurationError
from holdfast.observe.measures import ALL
from holdfast.observe.metrics import Metrics
from holdfast.observe.prometheus import Prometheus
from holdfast.web.guard import Guard
from observe.meters import opened


def read(port: int | None, path: str = "/metrics", **headers: str) -> tuple[int, dict[str, float]]:
    """Read a page over HTTP and parse it; return the status and the samples without labels."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            text = answer.read().decode()
            return answer.status, parsed(text)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code, {}


def parsed(text: str) -> dict[str, float]:
    families = text_string_to_metric_families(text)
    return {sample.name: sample.value for family in families for sample in family.samples if not sample.labels}


@contextmanager
def listening(token: str = "", port: int = 0) -> Iterator[Prometheus]:
    prometheus = Prometheus(port=port, token=token)
    with prometheus.running():
        yield prometheus


def test_a_page_of_its_own_port_is_what_was_measured() -> None:
    # M24
    with listening() as prometheus:
        metrics = Metrics(prometheus)
        metrics.emit(opened())
        metrics.active("mcp", 5)
        status, shown = read(prometheus.bound)
        assert (status, shown["mcp_session_created_total"], shown["mcp_session_active_count"]) == (200, 1, 5)
        assert shown["process_resident_memory_bytes"] > 0
        metrics.emit(opened())
        assert read(prometheus.bound)[1]["mcp_session_created_total"] == 2
        assert read(prometheus.bound, "/")[0] == 404
        bound = prometheus.bound
    with pytest.raises(urllib.error.URLError):
        read(bound)


def test_every_measure_is_on_the_page_before_anything_happens() -> None:
    # M24: who draws a graph finds the name
    with listening() as prometheus, urllib.request.urlopen(f"http://127.0.0.1:{prometheus.bound}/metrics") as answer:
        helped = {line.split()[2] for line in answer.read().decode().splitlines() if line.startswith("# HELP")}
    for measure in ALL:
        name = measure.name.replace(".", "_")
        assert {name, f"{name}_total", f"{name}_seconds"} & helped, name


def test_a_page_with_a_token_is_shown_to_who_sends_it() -> None:
    # M24
    with listening(token="s3cret") as prometheus:
        assert read(prometheus.bound)[0] == 401
        assert read(prometheus.bound, Authorization="Bearer wrong")[0] == 401
        assert read(prometheus.bound, Authorization="Bearer s3cret")[0] == 200


def test_a_page_on_this_machine_is_not_shown_to_a_page_of_another_site() -> None:
    # M24: DNS rebinding
    with listening() as prometheus:
        assert read(prometheus.bound, Host="evil.example")[0] == 403
        assert read(prometheus.bound, Origin="https://evil.example")[0] == 403


def test_workers_take_a_port_each(caplog: pytest.LogCaptureFixture) -> None:
    # M24
    with ExitStack() as stack:
        first = stack.enter_context(listening())
        assert first.bound is not None
        others = [stack.enter_context(listening(port=first.bound)) for _ in range(2)]
        assert len({first.bound, *(other.bound for other in others)}) == 3
        assert all(other.bound is not None and other.bound > first.bound for other in others)
    assert "cannot listen" not in caplog.text


def test_an_address_that_is_not_ours_is_said_and_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    prometheus = Prometheus("192.0.2.1", 9464)
    with prometheus.running():
        assert prometheus.bound is None
    assert "cannot listen on 192.0.2.1, port 9464 and above" in caplog.text


def test_who_reads_nothing_holds_up_nobody_else() -> None:
    with listening() as prometheus, socket.create_connection(("127.0.0.1", prometheus.bound or 0)):
        assert read(prometheus.bound)[0] == 200


async def test_the_page_as_an_application_is_guarded_as_the_server_is() -> None:
    # M24
    prometheus = Prometheus(token="s3cret")
    Metrics(prometheus).emit(opened())
    wire = Wire(prometheus.page(Guard(allowed_hosts=["metrics.example"])), path="/metrics")
    assert (await wire.send("GET", headers={"host": "evil.example"})).status == 403
    refused = await wire.send("GET", headers={"host": "metrics.example"})
    assert (refused.status, refused.headers["www-authenticate"]) == (401, "Bearer")
    shown = await wire.send("GET", headers={"host": "metrics.example", "authorization": "Bearer s3cret"})
    assert shown.status == 200
    assert parsed(shown.body.decode())["mcp_session_created_total"] == 1


def test_a_missing_library_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ConfigurationError) as caught:
        Prometheus()
    assert "holdfast[metrics]" in caught.value.hint
