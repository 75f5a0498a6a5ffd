"""Every adapter's receiver behind one host, which logs users on, keeps the sessions and counts both: `sap_gateway`

SFAPI has a logon of its own in the protocol, so its receiver counts itself.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from e2e.flows_world import Receiver, running_receiver, started
from flows.adapters.as2.world import OURS, make_files, running_partner
from holdfast.flows.adapters import NAMES
from peers.flows.odata_world import running_shop
from peers.flows.sap_world import running_system

PEERS: Final = Path(__file__).parent.parent / "peers/flows"
NEVER: Final = ("successfactors_rest", "successfactors_odata_v4")
LOGGING_ON_ITSELF: Final = "successfactors_soap"
REUSING: Final = tuple(name for name in NAMES if name not in (*NEVER, LOGGING_ON_ITSELF))
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

    def arrived(self, name: str) -> list[Any]:
        """Return what the receiver has got."""
        row = ROWS[name]
        return row.arrived(self.peers[row.peer].tell())

    def reset(self) -> None:
        """Let all forget what has been."""
        for receiver in (self, *self.peers.values()):
            receiver.tell("reset")


@contextmanager
def running_host(folder: Path) -> Iterator[Host]:
    """Run all of them; the keys of AS2 are in this folder then, and flows have to be."""
    make_files(folder)
    python = (sys.executable, "-W", "ignore")
    with ExitStack() as stack:
        ways = {
            "partner": running_partner(folder),
            "web": running_receiver(),
            "system": running_system(),
            "shop": running_shop(),
            "parts": started(*python, PEERS / "odata_v4_service.py"),
            "soap": started(*python, PEERS / "soap_spyne.py"),
            "sfapi": started(*python, PEERS / "sfapi_spyne.py"),
        }
        peers = {name: stack.enter_context(way) for name, way in ways.items()}
        arguments = [f"{path}={peers[name].port}" for path, name in PATHS.items()]
        gateway = stack.enter_context(started(*python, PEERS / "sap_gateway.py", *arguments))
        yield Host(gateway.port, peers, folder)
