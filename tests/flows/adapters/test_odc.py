"""The adapter `odc`: a service of a SAP Gateway by its names."""

from collections.abc import Iterator

import pytest

from holdfast.errors import ConfigurationError
from holdfast.flows.message import Message
from peers.flows.odata_world import GATEWAY, Shop, flow, running_shop, sent

NAMED = "adapter: odc, client: '100', service: SHOP, version: 2"


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    with running_shop() as shop:
        yield shop


@pytest.mark.parametrize(("reuse", "logons"), [("none", 2), ("on_exchange", 1), ("on_integration_flow", 1)])
async def test_names_make_the_url_and_the_gateways_cookies_carry_the_session(
    shop: Shop, reuse: str, logons: int
) -> None:  # F5, F16
    shop.tell("reset")
    settings = f"{NAMED}, url: '{shop.url}/', resource: Orders, csrf: true"
    change = "{receiver: erp, operation: merge, key: '1'}"
    answer = await sent(settings, Message(body={"Note": "odc"}), reuse=reuse, steps=f"- send: {change}\n- call: erp")
    assert answer.body[0]["Note"] == "odc"
    requests = shop.tell()["requests"]
    assert [each["path"] for each in requests] == [
        f"{GATEWAY}/?sap-client=100",
        f"{GATEWAY}/Orders('1')?sap-client=100",
        f"{GATEWAY}/Orders?sap-client=100",
    ]
    assert (shop.authentications, shop.sessions) == (logons, logons)
    sent_cookies = requests[1]["cookie"].split("; ")
    assert [each.partition("=")[0] for each in sent_cookies] == ["SAP_SESSIONID_ERP_100", "sap-usercontext"]
    assert (requests[2]["cookie"] is None) == (reuse == "none")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("service: SHOP/../X", "service: 'SHOP/../X' is no technical name of a SAP system"),
        ("service: SHOP, namespace: /ACME/", "namespace: '/ACME/' is no technical name"),
        ("service: SHOP, client: '1'", "client: '1' is none; a client has three digits"),
        ("service: SHOP, client: 100", "expected `str`, got `int`"),
        ("service: SHOP, version: 0", "expected `int` >= 1"),
        ("resource: Orders", "missing required field `service`"),
        ("service: SHOP, path: /x", "the key 'path' is not known here"),
    ],
)
async def test_names_that_are_none_are_told_with_file_and_line(settings: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^orders\.yaml:3: ") as caught:
        async with flow(f"adapter: odc, url: 'http://gw', {settings}"):
            pass
    assert said in str(caught.value)


async def test_the_url_is_that_of_the_server() -> None:
    with pytest.raises(ConfigurationError, match="url: it is that of the server alone"):
        async with flow("adapter: odc, url: 'http://gw/sap', service: SHOP"):
            pass
