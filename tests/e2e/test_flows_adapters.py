"""Every adapter against a receiver of its protocol: which of them re-use a session, and that they share it at a host.

The receivers stand behind one host, `sap_gateway`, which logs users on, keeps the sessions and counts both. SFAPI has a
logon of its own in the protocol, so its receiver counts itself.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import anyio
import msgspec
import pytest

from e2e.flows_world import Receiver, known, running_flow, running_receiver, started
from flows.adapters.as2.world import OURS, make_files, running_partner
from flows.senders.test_schedule import Time, settled
from flows.senders.world import served
from holdfast.flows.adapters import NAMES
from holdfast.flows.runtime import Message
from peers.flows.odata_world import running_shop
from peers.flows.sap_world import REUSES, running_system
from peers.flows.soap_world import spyne

PEERS: Final = Path(__file__).parent.parent / "peers/flows"
NEVER: Final = ("successfactors_rest", "successfactors_odata_v4")
LOGGING_ON_ITSELF: Final = "successfactors_soap"
REUSING: Final = tuple(name for name in NAMES if name not in (*NEVER, LOGGING_ON_ITSELF))
CALLS: Final = 6  # of 3 messages
EACH: Final = {"none": [1] * 6, "on_exchange": [2] * 3, "on_integration_flow": [6]}  # calls of each session
BASIC: Final = "auth: {basic: anna}"
BEARER: Final = "auth: {bearer: anna}"
PART: Final = "resource: Parts, operation: read, key: '2'"
ORDER: Final = "resource: Orders, operation: merge, key: '1', csrf: false"
USER: Final = f"{BASIC}, company: ACME, query: \"SELECT id FROM User WHERE id = 'u0001'\""
IDOC: Final = (
    "<ORDERS05><IDOC BEGIN='1'><EDI_DC40 SEGMENT='1'><TABNAM>EDI_DC40</TABNAM><IDOCTYP>ORDERS05</IDOCTYP>"
    "<MESTYP>ORDERS</MESTYP></EDI_DC40><E1EDK01 SEGMENT='1'><BELNR>4711</BELNR></E1EDK01></IDOC></ORDERS05>"
)
NOTICE: Final = "<Notify xmlns='urn:shop:orders'><text>closed</text></Notify>"
PLACE: Final = "<Place xmlns='urn:shop:orders'><id>ä</id></Place>"
PARTIES: Final = "sender: {service: SHOP}, receiver: {service: ERP}, interface: SI_Order, namespace: 'urn:shop'"
PLACED: Final = {"id": "ä", "due": "None", "items": []}


class Row(msgspec.Struct, frozen=True):
    """A receiver: where it is, what it is told, which peer it is, and what has to arrive there with each call."""

    path: str
    settings: str
    body: Any
    peer: str
    arrived: Callable[[Any], list[Any]]  # by what the peer tells
    what: Any


def in_requests(*names: str) -> Callable[[Any], list[Any]]:
    return lambda told: [tuple(request[name] for name in names) for request in told["requests"]]


def of_sfapi(told: Any) -> list[Any]:
    return [request["query"] for request in told["requests"] if request["operation"] == "query"]


SHOP: Final = ("shop", in_requests("method", "path", "content-type"))
PARTS: Final = ("parts", in_requests("method", "path", "odata-version"), ("GET", "/svc/Parts('2')", "4.0"))
JSON: Final = "application/json"
ROWS: Final[Mapping[str, Row]] = {
    "as2": Row("/as2", f"{BASIC}, {OURS}", "order", "partner", in_requests("content", "from"), ("order", "me")),
    "http": Row("/whole/a", BASIC, "order", "web", in_requests("method", "path"), ("POST", "/whole/a")),
    "idoc": Row(
        "/sap/bc/srt/idoc",
        BASIC,
        IDOC,
        "system",
        lambda told: [idoc["texts"] for idoc in told["idocs"]],
        ["4711"],
    ),
    "odata_v2": Row("/odata/v2", f"{BASIC}, {ORDER}", {"Note": "x"}, *SHOP, ("MERGE", "/odata/v2/Orders('1')", JSON)),
    "odata_v4": Row("/svc", f"{BASIC}, {PART}", None, *PARTS),
    "odc": Row(
        "",
        f"{BASIC}, {ORDER}, client: '100', service: SHOP, version: 2",
        {"Note": "x"},
        *SHOP,
        ("MERGE", "/sap/opu/odata/sap/SHOP;v=2/Orders('1')?sap-client=100", JSON),
    ),
    "sap_rm": Row(
        "/rm", BASIC, NOTICE, "soap", lambda told: list(told["notices"].values()), {"text": "closed", "queue": ""}
    ),
    "soap": Row("/soap11", f"{BASIC}, action: Place", PLACE, "soap", lambda told: list(told["orders"]), PLACED),
    "successfactors_odata_v2": Row(
        "/odata/v2",
        f"{BASIC}, resource: Orders, operation: upsert",
        [{"ID": "1", "Note": "x"}],
        *SHOP,
        ("POST", "/odata/v2/upsert", JSON),
    ),
    "successfactors_odata_v4": Row("/svc", f"{BEARER}, {PART}", None, *PARTS),
    "successfactors_rest": Row("/svc", f"{BEARER}, {PART}", None, *PARTS),
    "successfactors_soap": Row("/sfapi", USER, None, "sfapi", of_sfapi, "SELECT id FROM User WHERE id = 'u0001'"),
    "xi": Row(
        "/sap/xi/engine?type=receiver&sap-client=100",
        f"{BASIC}, {PARTIES}",
        "<order/>",
        "system",
        lambda told: [message["payload"] for message in told["messages"]],
        "<order/>",
    ),
}
TOKENS: Final = dict.fromkeys(("odata_v2", "odc", "successfactors_odata_v2"), ", csrf: true") | {
    "odata_v4": ", operation: patch, csrf: true"
}
CHANGES: Final = (
    f'{BASIC}, company: ACME, schedule: {{every: 10s}}, lag: 0, query: "SELECT id FROM User WHERE '
    "lastModified > '${properties.since}' AND lastModified <= '${properties.until}'\""
)
PATHS: Final = {
    "/as2": "partner",
    "/whole": "web",
    "/sap/bc": "system",
    "/sap/xi": "system",
    "/sap/opu": "shop",
    "/odata": "shop",
    "/svc": "parts",
    "/rm": "soap",
    "/soap11": "soap",
}


class Host(Receiver):
    """The gateway, and the peers behind it."""

    def __init__(self, port: int, peers: Mapping[str, Receiver], folder: Path) -> None:
        super().__init__(port)
        self.peers, self.file = peers, str(folder / "orders.yaml")

    @property
    def requests(self) -> list[dict[str, Any]]:
        return list(self.tell()["requests"])

    @property
    def calls(self) -> Counter[str]:
        """How many requests each session has had."""
        return Counter(request["session"] for request in self.requests)

    def counting(self, name: str) -> Receiver:
        """Return who counts the logons for an adapter."""
        return self.peers["sfapi"] if name == LOGGING_ON_ITSELF else self

    def receiver(self, name: str) -> str:
        """Return the settings of a receiver."""
        row = ROWS[name]
        return f"{{adapter: {name}, url: '{self.counting(name).url}{row.path}', {row.settings}}}"

    def flow(self, reuse: str, names: Iterable[str], steps: str, sender: str = "") -> str:
        """Return the text of a flow."""
        receivers = "".join(f"  {name}: {self.receiver(name)}\n" for name in names)
        return f"flow: orders\nhttp_session_reuse: {reuse}\n{sender}receivers:\n{receivers}steps:\n{steps}"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    folder = make_files(tmp_path_factory.mktemp("as2"))
    python = (sys.executable, "-W", "ignore")
    with ExitStack() as stack:
        ways = {
            "partner": running_partner(folder),
            "web": running_receiver(),
            "system": running_system(),
            "shop": running_shop(),
            "parts": started(*python, PEERS / "odata_v4_service.py"),
            "soap": spyne(),
            "sfapi": started(*python, PEERS / "sfapi_spyne.py"),
        }
        peers = {name: stack.enter_context(way) for name, way in ways.items()}
        arguments = [f"{path}={peers[name].port}" for path, name in PATHS.items()]
        gateway = stack.enter_context(started(*python, PEERS / "sap_gateway.py", *arguments))
        yield Host(gateway.port, peers, folder)


@pytest.fixture
def host(running: Host) -> Host:
    for receiver in (running, *running.peers.values()):
        receiver.tell("reset")
    return running


async def send_three(host: Host, name: str, reuse: str) -> list[str]:
    """Let three messages, two of them at a time, make two calls each; return what was told of the flow."""
    text = host.flow(reuse, (name,), f"- send: {name}\n- call: {name}\n")
    async with running_flow(text, host.file) as flow:
        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(flow.process, Message(body=ROWS[name].body))
        await flow.process(Message(body=ROWS[name].body))
        return [finding.code for finding in flow.deployment.findings]


def arrived(host: Host, name: str) -> list[Any]:
    """Return what the receiver has got."""
    row = ROWS[name]
    return row.arrived(host.peers[row.peer].tell())


def test_there_is_a_row_for_every_adapter() -> None:
    assert set(ROWS) == set(NAMES) == {*REUSING, *NEVER, LOGGING_ON_ITSELF}


@pytest.mark.parametrize("reuse", REUSES)
@pytest.mark.parametrize("name", REUSING)
async def test_30_an_adapter_re_uses_sessions_as_the_setting_says(host: Host, name: str, reuse: str) -> None:
    # F1, F2, F5, statements 1 to 4, 9 and 30
    host.peers["shop"].tell("csrf", "off")
    told = await send_three(host, name, reuse)
    assert (host.authentications, host.sessions) == REUSES[reuse]
    assert sorted(host.calls.values()) == EACH[reuse]
    assert [bool(one["authorization"]) for one in host.requests] == [cookie is None for cookie in host.cookies]
    assert arrived(host, name) == [ROWS[name].what] * CALLS
    assert told == (["reuse_wanted"] if reuse == "none" and name == "successfactors_odata_v2" else [])


@pytest.mark.parametrize("reuse", REUSES)
@pytest.mark.parametrize("name", NEVER)
async def test_30_an_adapter_without_sessions_never_sends_a_cookie(host: Host, name: str, reuse: str) -> None:
    # F4, F5, statements 6 and 30: the receiver sets one with each answer
    told = await send_three(host, name, reuse)
    assert [(one["cookie"], one["authorization"]) for one in host.requests] == [(None, "Bearer secret")] * CALLS
    assert (host.authentications, host.sessions) == REUSES["none"]
    assert arrived(host, name) == [ROWS[name].what] * CALLS
    assert told == ([] if reuse == "none" else ["ignored"])


@pytest.mark.parametrize("reuse", REUSES)
async def test_30_sfapi_is_logged_on_to_as_the_setting_says(host: Host, reuse: str) -> None:
    # F1, F5, statements 30 and 31: its logon is an operation
    told, hr = await send_three(host, LOGGING_ON_ITSELF, reuse), host.peers["sfapi"]
    operations = Counter(hr.tell()["operations"])
    assert (hr.authentications, hr.sessions) == REUSES[reuse]
    assert (operations["login"], operations["query"]) == (hr.authentications, CALLS)
    assert hr.cookies.count(None) == operations["login"]
    assert arrived(host, LOGGING_ON_ITSELF) == [ROWS[LOGGING_ON_ITSELF].what] * CALLS
    assert told == (["reuse_wanted"] if reuse == "none" else [])


@pytest.mark.parametrize(("reuse", "logons"), [("none", 6), ("on_exchange", 4), ("on_integration_flow", 1)])
async def test_30_sfapi_as_a_sender_re_uses_sessions_too_and_shares_them_with_a_receiver(
    host: Host, tmp_path: Path, reuse: str, logons: int
) -> None:
    # F1, F19, statements 5 and 30: it asks twice, and what it finds first are two messages of two calls each
    hr, time = host.peers["sfapi"], Time()
    hr.tell("set", dict.fromkeys("ab", "2026-01-01T00:00:00Z"))
    sender = f"sender: {{adapter: successfactors_soap, url: '{hr.url}/sfapi', {CHANGES}}}\n"
    text = host.flow(reuse, (LOGGING_ON_ITSELF,), "- send: successfactors_soap\n- call: successfactors_soap\n", sender)
    async with served(tmp_path, text, credentials=known, clock=time, sleep=time.sleep) as running:
        await settled([running])
        for _ in range(2):
            await time.pass_by(10)
            await settled([running])
    operations = Counter(hr.tell()["operations"])
    assert (operations["query"], operations["login"]) == (6, logons)
    assert (hr.authentications, hr.sessions) == (logons, logons)


@pytest.mark.parametrize("first", REUSING)
async def test_5_whichever_adapter_opens_the_session_of_a_host_all_others_share_it(host: Host, first: str) -> None:
    # F19, statements 5 and 30: the tokens of changes hold in it too
    names = sorted(REUSING, key=lambda name: name != first)
    steps = "".join(
        f"- modify: {{body: '${{properties.{name}}}'}}\n- call: {{receiver: {name}{TOKENS.get(name, '')}}}\n"
        for name in names
    )
    bodies = {name: ROWS[name].body for name in names} | {"odata_v4": {"Name": "screw"}}
    async with running_flow(host.flow("on_exchange", names, steps), host.file) as flow:
        await flow.process(Message(properties=bodies))
    assert (host.authentications, host.sessions) == (1, 1)
    opening, *others = host.requests
    assert {(one["cookie"], one["authorization"]) for one in others} == {(opening["session"], None)}
    for name in set(names) - {"odata_v4"}:
        assert ROWS[name].what in arrived(host, name)
    assert host.peers["parts"].tell()["rows"]["2"]["Name"] == "screw"


@pytest.mark.parametrize("reuse", ["on_exchange", "on_integration_flow"])
async def test_5_an_adapter_without_sessions_stays_out_of_the_one_of_its_host(host: Host, reuse: str) -> None:
    # F5, F19, statement 30: it sends no cookie of the others, and what it is sent does not replace theirs
    names = ("http", "successfactors_rest", "http", "successfactors_odata_v4", "http")
    steps = "".join(f"- call: {name}\n" for name in names)
    async with running_flow(host.flow(reuse, sorted(set(names)), steps), host.file) as flow:
        await flow.process(Message())
    sessions = [one["session"] for one in host.requests]
    assert host.cookies == [None, None, sessions[0], None, sessions[0]]
    assert len(set(sessions)) == 3 == host.sessions == host.authentications
