"""OData of SuccessFactors: V2 wants its session re-used and knows upserts, V4 never sends a cookie."""

import pytest

from e2e.flows_fixtures import fixtures_of
from holdfast.errors import BadInput, ConfigurationError
from holdfast.flows.failures import CallRefused
from holdfast.flows.message import Message
from holdfast.flows.runtime import StepFailed
from peers.flows.odata_world import Shop, flow, running_shop, sent

PEOPLE = [{"ID": "p1", "Note": "first"}, {"ID": "1", "Note": "second"}]


receiver_process, shop_with_tokens = fixtures_of(running_shop)


@pytest.fixture
def shop(shop_with_tokens: Shop) -> Shop:
    shop_with_tokens.tell("csrf", "off")
    return shop_with_tokens


def receiver(shop: Shop, more: str = "resource: Orders") -> str:
    return f"adapter: successfactors_odata_v2, url: '{shop.url}/odata/v2', {more}"


# -- V2


@pytest.mark.parametrize(
    ("reuse", "logons", "told"),
    [("none", 2, ["reuse_wanted"]), ("on_exchange", 1, []), ("on_integration_flow", 1, [])],
)
async def test_without_re_use_a_mistake_is_told_at_load(shop: Shop, reuse: str, logons: int, told: list[str]) -> None:
    # F5, statement 31
    async with flow(receiver(shop), reuse, "- send: erp\n- call: erp") as running:
        assert [finding.code for finding in running.deployment.findings] == told
        result = await running.process(Message())
    assert result is not None
    assert (len(result.body), shop.authentications, shop.sessions) == (5, logons, logons)


async def test_entities_are_updated_or_inserted_by_one_call(shop: Shop) -> None:  # F16
    result = await sent(receiver(shop, "resource: Orders, operation: upsert, purge: full"), Message(body=PEOPLE))
    assert [(each["status"], each["index"]) for each in result.body] == [("OK", 0), ("OK", 1)]
    assert (shop.orders["p1"]["Note"], shop.orders["1"]["Note"]) == ("first", "second")
    assert shop.last["path"] == "/odata/v2/upsert?purgeType=full"
    one = {"__metadata": {"uri": "Orders"}, "ID": "2", "Note": "named itself"}
    await sent(receiver(shop, "operation: upsert"), Message(body=one))
    assert shop.orders["2"]["Note"] == "named itself"


async def test_an_upsert_that_is_refused_in_part_fails_unless_that_is_wanted(shop: Shop) -> None:
    body = [*PEOPLE, {"ID": "x", "Count": "many"}, {"Note": "no key"}]
    upsert = receiver(shop, "resource: Orders, operation: upsert")
    with pytest.raises(StepFailed, match=r"erp refused 2 of 4 entities: bad entity: .*'many'") as caught:
        await sent(upsert, Message(body=body))
    cause = caught.value.cause
    assert isinstance(cause, CallRefused)
    assert [each["status"] for each in cause.answer] == ["OK", "OK", "ERROR", "ERROR"]
    assert shop.orders["p1"]["Note"] == "first"
    result = await sent(f"{upsert}, partial: true", Message(body=body))
    assert [each["status"] for each in result.body] == ["OK", "OK", "ERROR", "ERROR"]


async def test_an_upsert_is_repeated_for_it_does_the_same_again(shop: Shop) -> None:  # F17
    upsert = receiver(shop, "resource: Orders, operation: upsert, query: {sap-mode: cut}")
    await sent(upsert, Message(body=PEOPLE))
    assert shop.methods == ["POST", "POST"]
    assert len(shop.orders) == 6


async def test_changes_go_as_post_and_tokens_are_optional(shop: Shop) -> None:
    shop.tell("csrf", None)
    merge = "resource: Orders, key: '1', operation: merge, csrf: true"
    await sent(receiver(shop, merge), Message(body={"Note": "merged"}), reuse="on_exchange")
    assert shop.orders["1"]["Note"] == "merged"
    assert shop.methods == ["HEAD", "POST"]
    assert (shop.last["x-http-method"], shop.authentications) == ("MERGE", 1)


async def test_what_is_no_upsert_is_told(shop: Shop) -> None:
    for body in ([1], 7):
        with pytest.raises(StepFailed, match="an upsert is of an entity, or a list of them") as caught:
            await sent(receiver(shop, "operation: upsert"), Message(body=body))
        assert isinstance(caught.value.cause, BadInput)
    with pytest.raises(ConfigurationError, match=r"^orders\.yaml:3: format: an upsert goes out as JSON"):
        async with flow(receiver(shop, "operation: upsert, format: atom")):
            pass


# -- V4 and REST


@pytest.mark.parametrize("adapter", ["successfactors_odata_v4", "successfactors_rest"])
@pytest.mark.parametrize("reuse", ["none", "on_exchange", "on_integration_flow"])
async def test_no_cookie_is_ever_sent_whatever_the_setting(shop: Shop, adapter: str, reuse: str) -> None:
    # F5, statements 6 and 30: the service sets one with each answer
    settings = f"adapter: {adapter}, url: '{shop.url}/odata/v2', resource: Orders/$count"
    steps = "- send: erp\n- send: {receiver: erp, operation: action, resource: upsert}\n- call: erp"
    async with flow(settings, reuse, steps, auth="bearer: token") as running:
        told = [finding.code for finding in running.deployment.findings]
        for _ in range(2):
            result = await running.process(Message(body="[]"))
    assert result is not None
    assert result.body == "5"
    requests = shop.tell()["requests"]
    assert [(each["user"], each["cookie"]) for each in requests] == [("bearer", None)] * 6
    assert shop.authentications == 0
    assert told == ([] if reuse == "none" else ["ignored"])


@pytest.mark.parametrize("adapter", ["successfactors_odata_v4", "successfactors_rest"])
@pytest.mark.parametrize(
    ("settings", "auth", "said"),
    [
        ("", "basic: anna", "auth: SuccessFactors takes a bearer token here"),
        ("", "", "auth: SuccessFactors takes a bearer token here"),
        (", csrf: true", "bearer: token", "csrf: a token would need a session, and there is none"),
    ],
)
async def test_settings_that_need_a_session_are_refused(adapter: str, settings: str, auth: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^orders\.yaml:3: {said}"):
        async with flow(f"adapter: {adapter}, url: 'http://sf'{settings}", auth=auth):
            pass
