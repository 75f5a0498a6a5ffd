"""Facts as measurements, under the names of the source: StatsD, Prometheus, OpenTelemetry; labels are few."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader
from prometheus_client.parser import text_string_to_metric_families

from holdfast.core.events import LOUD, Event, Fact
from holdfast.core.model import Reason
from holdfast.observe.measures import ALL, FACTS, Measure
from holdfast.observe.metrics import Metrics
from holdfast.observe.otel import OpenTelemetry
from holdfast.observe.prometheus import Prometheus
from holdfast.observe.statsd import StatsD
from observe.meters import gone, opened, receiver

LIFE = [opened(), opened("stream"), gone("stream", reason=Reason.CLIENT, lived=1.5), gone(lived=2.5)]


def samples(prometheus: Prometheus) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    from prometheus_client import generate_latest

    families = text_string_to_metric_families(generate_latest(prometheus.registry).decode())
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def measured(*events: Event) -> dict[str, float]:
    """Return what Prometheus shows of some facts, by name and labels."""
    prometheus = Prometheus()
    metrics = Metrics(prometheus)
    for event in events:
        metrics.emit(event)
    return {
        name + "".join(f" {label}={value}" for label, value in sorted(labels)): number
        for (name, labels), number in samples(prometheus).items()
        if not name.endswith("_created") and not name.startswith("process_")
    }


async def test_statsd_gets_the_sources_names_and_tags() -> None:
    # M24
    with receiver() as server:
        statsd = StatsD(port=server.port)
        metrics = Metrics(statsd)
        for event in LIFE:
            metrics.emit(event)
        metrics.active("mcp", 7)
        assert server.lines() == []  # nothing goes out before it is worth a datagram
        with statsd.running():
            pass
        lines = server.lines()
        assert len(server.datagrams) == 1
    assert set(lines) >= {
        "mcp.session.created:1|c",
        "mcp.session.active_count:7|g",
        "mcp.session.expired:1|c|#reason:idle",
        "mcp.session.duration:2500.000|ms|#reason:idle",
        "mcp.session.connection.established:1|c",
        "mcp.session.connection.closed:1|c|#reason:client",
    }


async def test_statsd_without_tags_keeps_the_sources_names_bare_and_tells_other_kinds_apart() -> None:
    # M24
    with receiver() as server:
        statsd = StatsD(port=server.port, tags=False)
        metrics = Metrics(statsd)
        for event in (*LIFE, opened("lock"), opened("backend")):
            metrics.emit(event)
        statsd.flush()
        lines = server.lines()
    assert not any("#" in line for line in lines)
    assert "mcp.session.connection.closed:1|c" in lines
    assert {"holdfast.session.created.lock:1|c", "holdfast.session.created.backend:1|c"} <= set(lines)


async def test_statsd_sends_many_facts_in_few_datagrams_that_fit_a_packet() -> None:
    # M24
    with receiver() as server:
        statsd = StatsD(port=server.port)
        metrics = Metrics(statsd)
        for number in range(10_000):
            metrics.emit(opened())
            metrics.emit(gone(lived=number / 1000))
        statsd.flush()
        lines = server.lines()
        assert server.total("mcp.session.created") == 10_000
    times = [line for line in lines if line.startswith("mcp.session.duration")]
    assert 0 < len(times) <= 250
    assert all("|@0.025000" in line for line in times)
    mean = sum(float(line.split(":")[1].split("|")[0]) for line in times) / len(times)
    assert 4_000 < mean < 6_000  # those that were chosen are as good as all, 5,000 ms on average
    assert len(server.datagrams) < 20
    assert max(map(len, server.datagrams)) <= 1432


async def test_statsd_goes_out_by_itself() -> None:
    # M24
    import anyio

    with receiver() as server:
        Metrics(StatsD(port=server.port)).emit(opened())
        with anyio.fail_after(5):
            while not server.lines():
                await anyio.sleep(0.02)


def test_statsd_sends_at_once_where_there_is_no_event_loop() -> None:
    with receiver() as server:
        Metrics(StatsD(port=server.port)).emit(opened())
        assert server.lines() == ["mcp.session.created:1|c"]


def test_statsd_never_raises_when_nobody_listens_or_the_network_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    # M24
    with receiver() as server:
        port = server.port
    statsd = StatsD(port=port)
    for _ in range(5):
        Metrics(statsd).emit(opened())
    assert statsd.lost == 0

    class Full:
        def sendto(self, *_: object) -> int:
            raise BlockingIOError

    monkeypatch.setattr(statsd, "_socket", Full())
    Metrics(statsd).emit(opened())
    assert statsd.lost == 1


def test_what_a_label_holds_cannot_forge_a_line() -> None:
    with receiver() as server:
        StatsD(port=server.port).add(FACTS, 1, ("a|c\nmcp.session.created:9",))
        [line] = server.lines()
    assert line == "holdfast.facts:1|c|#fact:a_c_mcp.session.created_9"


def test_prometheus_shows_the_same_facts() -> None:
    # M24
    shown = measured(*LIFE, opened("lock"), gone("lock", reason=Reason.PARENT, lived=4.0))
    assert shown["mcp_session_created_total"] == 1
    assert shown["mcp_session_expired_total reason=idle"] == 1
    assert shown["mcp_session_ended_total reason=idle"] == 1
    assert shown["mcp_session_duration_seconds_sum reason=idle"] == 2.5
    assert shown["mcp_session_connection_established_total"] == 1
    assert shown["mcp_session_connection_closed_total reason=client"] == 1
    assert shown["holdfast_session_created_total kind=lock"] == 1
    assert shown["holdfast_session_duration_seconds_sum kind=lock reason=parent"] == 4


def test_a_session_that_its_client_ended_has_not_expired() -> None:
    # M24
    shown = measured(opened(), gone(reason=Reason.CLIENT))
    assert shown["mcp_session_ended_total reason=client"] == 1
    assert not any(name.startswith("mcp_session_expired_total") for name in shown)


def test_a_fact_that_is_told_twice_of_one_end_counts_once() -> None:
    # M24: marking and removing are two facts, an end is one
    ended = Event(fact=Fact.ENDED, at=1.0, kind="mcp", reason=Reason.CLIENT)
    assert measured(opened(), ended, gone(reason=Reason.CLIENT))["mcp_session_ended_total reason=client"] == 1


@pytest.mark.parametrize("fact", sorted(LOUD))
def test_every_security_event_is_one_count(fact: Fact) -> None:
    # E34
    assert measured(Event(fact=fact, at=1.0, kind="mcp", mark="abcdefgh"))[f"holdfast_facts_total fact={fact}"] == 1


@contextmanager
def collected() -> Iterator[tuple[OpenTelemetry, InMemoryMetricReader]]:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    yield OpenTelemetry(provider.get_meter("test")), reader
    provider.shutdown()


def points(reader: InMemoryMetricReader) -> dict[str, tuple[float, dict[str, str]]]:
    """Return value and attributes of the only point of each instrument; of a histogram its sum."""
    data = reader.get_metrics_data()
    assert data is not None
    found = {}
    for metric in data.resource_metrics[0].scope_metrics[0].metrics:
        [point] = metric.data.data_points
        value = point.sum if isinstance(point, HistogramDataPoint) else point.value
        found[metric.name] = (value, dict(point.attributes or {}))
    return found


def test_opentelemetry_gets_the_same_facts() -> None:
    # M24
    with collected() as (meter, reader):
        metrics = Metrics(meter)
        for event in LIFE:
            metrics.emit(event)
        metrics.active("mcp", 7)
        metrics.active("mcp", 6)
        found = points(reader)
    assert found["mcp.session.created"] == (1, {})
    assert found["mcp.session.active_count"] == (6, {})
    assert found["mcp.session.expired"] == (1, {"reason": "idle"})
    assert found["mcp.session.duration"] == (2.5, {"reason": "idle"})
    assert found["mcp.session.connection.established"] == (1, {})
    assert found["mcp.session.connection.closed"] == (1, {"reason": "client"})


@pytest.mark.slow
def test_a_hundred_thousand_sessions_leave_the_number_of_series_as_it_was() -> None:
    # R72
    prometheus = Prometheus()
    with receiver() as server, collected() as (otel, _):
        statsd = StatsD(port=server.port)
        statsd._arm = lambda: None  # type: ignore[method-assign]
        metrics = Metrics(prometheus, statsd, otel)

        def live(number: int) -> None:
            name = f"{number:08x}"
            reason = list(Reason)[number % len(Reason)]
            base = {"at": 1.0, "kind": "mcp", "mark": name, "owner": f"user {name}", "client": name, "address": name}
            metrics.emit(Event(fact=Fact.OPENED, **base))
            metrics.emit(Event(fact=Fact.UNKNOWN_ID, detail=name, **base))
            metrics.emit(Event(fact=Fact.CLOSED, reason=reason, lived=1.0, **base))

        for number in range(len(Reason)):
            live(number)
        before = len(samples(prometheus)), len(statsd._names), len(otel._attributes)
        for number in range(len(Reason), 100_000):
            live(number)
        assert (len(samples(prometheus)), len(statsd._names), len(otel._attributes)) == before
        assert samples(prometheus)["mcp_session_created_total", frozenset()] == 100_000
        assert len(statsd._times) <= len(Reason)
        assert sum(map(len, statsd._times.values())) <= 250 * len(Reason)


def test_no_label_names_who_or_where() -> None:
    # R72
    labels = {label for measure in ALL for label in measure.labels}
    assert labels == {"reason", "kind", "fact", "method", "era", "status"}
    assert len({measure.name for measure in ALL}) == len(ALL)


def test_a_meter_that_fails_is_told_of_once_and_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    # M24: never raises
    class Broken(StatsD):
        def add(self, measure: Measure, amount: int, labels: tuple[str, ...] = ()) -> None:
            raise ValueError("broken")

        set = time = add  # type: ignore[assignment]

    with receiver() as server:
        metrics = Metrics(Broken(port=server.port), StatsD(port=server.port))
        with caplog.at_level(logging.ERROR):
            for event in (*LIFE, *LIFE):
                metrics.emit(event)
            metrics.active("mcp", 3)
        assert server.total("mcp.session.created") == 2
    assert 0 < len(caplog.records) <= 3


def test_without_a_meter_a_fact_costs_nothing() -> None:
    metrics = Metrics()
    metrics.emit(opened())
    assert metrics._families == {}
