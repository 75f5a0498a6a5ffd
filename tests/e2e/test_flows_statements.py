"""The statements on re-use of sessions, one test each, named by number, against a receiver in a process of its own."""

import logging
from typing import Any

import anyio
import pytest

from e2e.flows_world import VIRTUAL, Connector, Flow, Receiver, flow
from holdfast.errors import ConfigurationError, SessionExpiredError
from holdfast.flows import Channel, DomainMapping


async def message(orders: Flow, path: str = "/whole/a", calls: int = 3, **client: Any) -> list[Any]:
    """Process a message that calls the receiver some times."""
    async with orders.exchange():
        return [await orders.get(path, **client) for _ in range(calls)]


async def together(*jobs: Any) -> list[Any]:
    """Run jobs at the same time and return what they gave."""
    results: dict[int, Any] = {}

    async def run(number: int, job: Any) -> None:
        results[number] = await job()

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for number, job in enumerate(jobs):
                tasks.start_soon(run, number, job)
    return [results[number] for number in range(len(jobs))]


# -- scope


async def test_1_none_is_a_session_and_a_logon_for_every_call(erp: Receiver) -> None:
    async with flow("none", erp.url) as orders:
        await message(orders)
    assert (erp.authentications, erp.sessions, erp.cookies) == (3, 3, [None] * 3)


async def test_2_on_exchange_the_calls_of_a_message_share_a_session(erp: Receiver) -> None:
    async with flow("on_exchange", erp.url) as orders:
        await message(orders)
    value = erp.tell()["values"][0]
    assert (erp.authentications, erp.sessions) == (1, 1)
    assert erp.cookies == [None, f"JSESSIONID={value}", f"JSESSIONID={value}"]


async def test_3_on_exchange_messages_in_parallel_never_mix(erp: Receiver) -> None:
    async with flow("on_exchange", erp.url) as orders:
        seen = await together(*[lambda: message(orders)] * 16)
    sessions = [{call["session"] for call in calls} for calls in seen]
    assert all(len(one) == 1 for one in sessions)
    assert len(set.union(*sessions)) == 16 == erp.sessions == erp.authentications


async def test_4_on_integration_flow_all_messages_share_a_session(erp: Receiver) -> None:
    async with flow("on_integration_flow", erp.url) as orders:
        await together(*[lambda: message(orders)] * 16)
    assert (erp.authentications, erp.sessions) == (1, 1)


async def test_5_channels_of_different_kinds_share_the_session_of_a_host(erp: Receiver) -> None:
    # F19
    async with flow("on_exchange", erp.url) as orders, orders.exchange():
        for kind in ("http", "soap", "odata"):
            await orders.get(f"/whole/{kind}", name=kind)
    assert (erp.authentications, erp.sessions) == (1, 1)


async def test_6_a_flow_whose_adapters_never_re_use_ignores_the_setting_and_says_so(erp: Receiver) -> None:
    # F4, F5
    rest = Channel(name="rest", reuses=False)
    async with flow("on_exchange", erp.url, channels=[rest]) as orders:
        await message(orders, name="rest", reuses=False)
        assert orders.told == ["ignored"]
    assert (erp.authentications, erp.cookies) == (3, [None] * 3)


async def test_7_no_setting_is_none(erp: Receiver) -> None:
    async with flow(None, erp.url) as orders:
        await message(orders)
    assert (erp.authentications, erp.cookies) == (3, [None] * 3)


async def test_8_two_hosts_keep_separate_cookies(erp: Receiver) -> None:
    async with flow("on_exchange", erp.url) as orders, orders.exchange():
        for _ in range(2):
            one = await orders.get("/whole/a", name="one")
            two = await orders.get("/whole/a", name="two", url=erp.other_url)
            assert one["session"] != two["session"]
    assert erp.sessions == 2


# -- authentication


async def test_9_credentials_go_out_with_the_first_call_only(erp: Receiver) -> None:
    async with flow("on_exchange", erp.url) as orders:
        await message(orders)
    assert erp.users == ["anna", "", ""]


async def test_9_a_switch_sends_them_always(erp: Receiver) -> None:
    async with flow("on_exchange", erp.url) as orders:
        await message(orders, always_authenticate=True)
    assert erp.users == ["anna"] * 3
    assert erp.sessions == 1


async def test_9_a_receiver_that_sets_no_cookie_keeps_getting_them_and_is_reported(erp: Receiver) -> None:
    # F2
    async with flow("on_exchange", erp.url) as orders:
        await message(orders, "/plain")
        assert orders.told == ["no_cookie"]
    assert erp.users == ["anna"] * 3


async def test_10_a_second_user_is_ignored_with_one_warning(erp: Receiver) -> None:
    # F3
    async with flow("on_exchange", erp.url) as orders:
        async with orders.exchange():
            await orders.get("/whole/a", name="first", user="anna")
            answers = [await orders.get("/whole/b", name="second", user="bert") for _ in range(3)]
        async with orders.exchange():
            await orders.get("/whole/a", name="first", user="anna")
            await orders.get("/whole/b", name="second", user="bert")
        assert {answer["user"] for answer in answers} == {"anna"}
        [finding] = orders.deployment.findings
    assert finding.code == "second_user"
    assert "'first'" in finding.text
    assert "'second'" in finding.text


async def test_10_strict_refuses_a_second_user(erp: Receiver) -> None:
    async with flow("on_exchange", erp.url, strict=True) as orders, orders.exchange():
        await orders.get("/whole/a", name="first", user="anna")
        with pytest.raises(ConfigurationError, match="second"):
            await orders.get("/whole/b", name="second", user="bert")
    assert len(erp.users) == 1


async def test_11_the_dynamic_user_of_the_second_message_is_not_used(erp: Receiver) -> None:
    async with flow("on_integration_flow", erp.url) as orders:
        await message(orders, calls=1, name="erp", user="anna", dynamic_user=True)
        [answer] = await message(orders, calls=1, name="erp", user="bert", dynamic_user=True)
        assert answer["user"] == "anna"
        assert orders.told == ["second_user"]


async def test_12_none_reaches_the_server_as_two_users(erp: Receiver) -> None:
    async with flow("none", erp.url) as orders, orders.exchange():
        users = [(await orders.get("/whole/a", name=user, user=user))["user"] for user in ("anna", "bert")]
    assert users == ["anna", "bert"]


@pytest.mark.parametrize("reuse", ["on_exchange", "on_integration_flow"])
async def test_13_after_the_idle_timeout_a_new_session_replaces_the_old_and_nothing_is_lost(
    erp: Receiver, reuse: str
) -> None:
    # F7
    async with flow(reuse, erp.url) as orders, orders.exchange():
        await orders.get("/whole/a")
        erp.idle_out()
        answer = await orders.client().post("/whole/b", content=b"order")
        assert answer.json()["session"] == 1
        await orders.get("/whole/c")
    assert (erp.authentications, erp.sessions) == (2, 2)
    assert erp.cookies[-1] == f"JSESSIONID={erp.tell()['values'][1]}"


async def test_13_parallel_calls_that_meet_a_dead_session_open_one(erp: Receiver) -> None:
    async with flow("on_integration_flow", erp.url) as orders:
        await orders.get("/whole/a")
        erp.idle_out()
        await together(*[lambda: orders.get("/whole/b")] * 16)
    assert (erp.authentications, erp.sessions) == (2, 2)


async def test_13_a_stateful_receiver_fails_the_exchange_instead(erp: Receiver) -> None:
    # F7
    async with flow("on_exchange", erp.url) as orders:
        async with orders.exchange():
            await orders.get("/blocks", stateful=True)
            erp.idle_out()
            for _ in range(2):
                with pytest.raises(SessionExpiredError, match="state"):
                    await orders.get("/blocks", stateful=True)
        assert erp.sessions == 1
        [first] = await message(orders, "/blocks", calls=1, stateful=True)
    assert first["block"] == 1


async def test_13_a_session_that_the_receiver_replaces_by_itself_is_noticed_too(erp: Receiver) -> None:
    async with flow("on_exchange", erp.url) as orders, orders.exchange():
        await orders.get("/silent", user="", stateful=True)
        erp.idle_out()
        with pytest.raises(SessionExpiredError):
            await orders.get("/silent", user="", stateful=True)


async def test_13_what_cannot_be_sent_twice_is_an_error(erp: Receiver) -> None:
    async def parts() -> Any:
        yield b"order"

    async with flow("on_exchange", erp.url) as orders, orders.exchange():
        await orders.get("/whole/a")
        erp.idle_out()
        with pytest.raises(SessionExpiredError, match="cannot be sent again"):
            await orders.client().post("/whole/b", content=parts())


async def test_wrong_credentials_are_answered_once_and_open_nothing(erp: Receiver) -> None:
    async with flow("on_exchange", erp.url) as orders, orders.exchange():
        client = orders.client()
        client.auth = ("anna", "wrong")
        assert [(await client.get("/whole/a")).status_code for _ in range(2)] == [401, 401]
    assert erp.authentications == 2


# -- cookies


async def test_14_set_cookie_is_known_in_any_letter_case_and_every_line_of_it(erp: Receiver) -> None:
    async with flow("on_exchange", erp.url) as orders, orders.exchange():
        for path in ("/whole/a", "/case", "/several", "/whole/b"):
            await orders.get(path)
    assert str(erp.cookies[-1]).split("; ")[1:] == ["cased=1", "one=1", "two=2"]


async def test_15_no_empty_cookie_header(erp: Receiver) -> None:
    async with flow("on_exchange", erp.url) as orders:
        await message(orders, "/plain")
    assert erp.cookies == [None] * 3


async def test_16_path_cookies_go_to_their_path_and_whole_server_cookies_everywhere(erp: Receiver) -> None:
    # F6
    async with flow("on_exchange", erp.url) as orders, orders.exchange():
        for path in ("/app/a", "/app/b", "/application", "/whole/a", "/app/c"):
            await orders.get(path)
    app, whole = erp.tell()["values"]
    assert erp.cookies == [
        None,
        f"APPSESSION={app}",
        None,
        f"JSESSIONID={whole}",
        f"APPSESSION={app}; JSESSIONID={whole}",
    ]
    assert erp.users == ["anna", "", "anna", "", ""]


async def test_17_values_go_back_byte_for_byte(erp: Receiver) -> None:
    async with flow("on_exchange", erp.url) as orders, orders.exchange():
        for path in ("/whole/a", "/bytes", "/whole/b"):
            await orders.get(path)
    assert str(erp.cookies[-1]).endswith('; odd="a%20b+c=/\xe4"')


async def test_18_cookies_of_error_answers_count(erp: Receiver) -> None:
    async with flow("on_exchange", erp.url) as orders, orders.exchange():
        assert (await orders.client().get("/fault")).status_code == 500
        await orders.get("/whole/a")
    assert (erp.authentications, erp.sessions) == (1, 1)


@pytest.mark.parametrize("path", ["/out", "/expired"])
async def test_18_deletions_are_applied(erp: Receiver, path: str) -> None:
    async with flow("on_exchange", erp.url) as orders, orders.exchange():
        for each in ("/whole/a", path, "/whole/b"):
            await orders.get(each)
    assert erp.cookies[2] is None
    assert erp.users == ["anna", "", "anna"]


async def test_18_a_context_of_zero_is_a_deletion(erp: Receiver) -> None:
    async with flow("on_exchange", erp.url) as orders, orders.exchange():
        for path in ("/context", "/whole/a", "/zero", "/whole/b"):
            await orders.get(path)
    assert ["sap-contextid" in str(cookie) for cookie in erp.cookies] == [False, True, True, False]
    assert erp.sessions == 1


async def test_19_without_a_mapping_every_call_is_a_new_session_and_that_is_reported(erp: Receiver) -> None:
    # F9
    async with flow("on_exchange", VIRTUAL) as orders:
        await message(orders, "/mapped?mycompany.corp", inner=Connector(erp))
        assert orders.told == ["foreign_cookie", "no_cookie"]
    assert (erp.authentications, erp.sessions, erp.cookies) == (3, 3, [None] * 3)


@pytest.mark.parametrize(
    ("domain", "virtual", "internal"),
    [
        ("mycompany.corp", "sales-system.cloud", "mycompany.corp"),
        (".mycompany.corp", "sales-system.cloud", "mycompany.corp"),
        ("mycompany.corp", ".sales-system.cloud", ".mycompany.corp"),
        ("ecc60.mycompany.corp", "sales-system.cloud", "mycompany.corp"),
        ("ecc60.mycompany.corp", "www1.sales-system.cloud", "ecc60.mycompany.corp"),
        ("mycompany.corp", "mycompany.corp", "sales-system.cloud"),  # the other direction
    ],
)
async def test_20_with_a_mapping_the_session_is_re_used(
    erp: Receiver, domain: str, virtual: str, internal: str
) -> None:
    # F9
    mapping = DomainMapping(virtual, internal)
    async with flow("on_exchange", VIRTUAL, mappings=[mapping]) as orders:
        await message(orders, f"/mapped?{domain}", inner=Connector(erp))
        assert orders.told == []
    assert (erp.authentications, erp.sessions) == (1, 1)


# -- parallel


async def branches(orders: Flow, count: int = 4, calls: int = 2) -> list[set[int]]:
    """Call the receiver in parallel branches and return which sessions each of them saw."""
    async with orders.split(count) as parts:

        async def run(part: Any) -> set[int]:
            async with part:
                return {(await orders.get("/whole/branch"))["session"] for _ in range(calls)}

        return await together(*[lambda part=part: run(part) for part in parts])


async def test_21_branches_without_a_call_before_have_a_session_each_and_that_is_reported(erp: Receiver) -> None:
    # F8
    async with flow("on_exchange", erp.url) as orders, orders.exchange():
        seen = await branches(orders)
        assert sorted(seen, key=min) == [{0}, {1}, {2}, {3}]
        [finding] = orders.deployment.findings
    assert finding.code == "branches"
    assert "4 sessions" in finding.text


async def test_22_branches_with_a_call_before_share_that_session(erp: Receiver) -> None:
    # F8
    async with flow("on_exchange", erp.url) as orders, orders.exchange():
        await orders.get("/whole/a")
        assert await branches(orders) == [{0}] * 4
        assert orders.told == []
    assert (erp.authentications, erp.sessions) == (1, 1)


async def test_23_a_session_born_in_a_branch_is_seen_by_no_other(erp: Receiver) -> None:
    async with flow("on_exchange", erp.url) as orders, orders.exchange():
        async with orders.split(2) as (one, two):
            async with one:
                first = await orders.get("/whole/a")
                assert set.union(*await branches(orders, 2)) == {first["session"]}  # a split of the branch does
            async with two:
                second = await orders.get("/whole/a")
        third = await orders.get("/whole/a")
    assert len({answer["session"] for answer in (first, second, third)}) == 3


async def test_24_what_a_server_refuses_in_parallel_succeeds_one_after_the_other(erp: Receiver) -> None:
    async with flow("on_exchange", erp.url) as orders, orders.exchange():
        await orders.get("/whole/a")
        client = orders.client()
        parallel = await together(*[lambda: client.get("/slow")] * 2)
        assert sorted(answer.status_code for answer in parallel) == [200, 409]
        assert [(await client.get("/slow")).status_code for _ in range(2)] == [200, 200]


async def test_calls_wait_for_the_first_logon_and_not_for_each_other(erp: Receiver) -> None:
    async with flow("on_exchange", erp.url) as orders, orders.exchange():
        client = orders.client()
        answers = await together(*[lambda: client.get("/slow")] * 3)
        assert sorted(answer.status_code for answer in answers) == [200, 200, 409]  # the last two at the same time
    assert erp.authentications == 1


async def test_25_messages_of_a_flow_see_each_others_state(erp: Receiver) -> None:
    async with flow("on_integration_flow", erp.url) as orders:
        one = await message(orders, "/blocks", calls=1, stateful=True)
        two = await message(orders, "/blocks", calls=1, stateful=True)
    assert [one[0]["block"], two[0]["block"]] == [1, 2]


async def test_25_that_is_warned_of_and_strict_refuses_it(erp: Receiver) -> None:
    stateful = [Channel(name="erp", stateful=True)]
    async with flow("on_integration_flow", erp.url, channels=stateful) as orders:
        assert orders.told == ["shared_state"]
    with pytest.raises(ConfigurationError, match="stateful"):
        async with flow("on_integration_flow", erp.url, channels=stateful, strict=True):
            pass


# -- stateful services


async def all_blocks(orders: Flow) -> list[int]:
    async with orders.exchange():
        blocks, more = [], True
        while more and len(blocks) < 10:
            answer = await orders.get("/blocks", stateful=True)
            blocks.append(answer["block"])
            more = answer["more"]
        return blocks


async def test_26_each_of_parallel_messages_reads_all_blocks_once(erp: Receiver) -> None:
    async with flow("on_exchange", erp.url) as orders:
        assert await together(*[lambda: all_blocks(orders)] * 2) == [[1, 2, 3, 4, 5]] * 2


async def test_27_with_none_it_is_always_the_first_block(erp: Receiver) -> None:
    async with flow("none", erp.url) as orders:
        assert await all_blocks(orders) == [1] * 10


# -- CSRF


async def change(orders: Flow) -> int:
    """Fetch a token and change something with it."""
    client = orders.client()
    async with orders.exchange():
        token = (await client.head("/token")).headers["x-csrf-token"]
        return int((await client.post("/change", headers={"x-csrf-token": token})).status_code)


async def test_28_token_and_change_in_one_session_succeed_and_fail_without(erp: Receiver) -> None:
    async with flow("on_exchange", erp.url) as orders:
        assert await change(orders) == 200
    async with flow("none", erp.url) as orders:
        assert await change(orders) == 403


async def test_29_tokens_of_messages_collide_in_the_session_of_a_flow_and_not_on_exchange(erp: Receiver) -> None:
    async def interleaved(orders: Flow) -> int:
        client = orders.client()
        async with orders.exchange():
            token = (await client.head("/token")).headers["x-csrf-token"]
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(change, orders)
            return int((await client.post("/change", headers={"x-csrf-token": token})).status_code)

    async with flow("on_integration_flow", erp.url) as orders:
        assert await interleaved(orders) == 403
    async with flow("on_exchange", erp.url) as orders:
        assert await interleaved(orders) == 200


# -- monitoring


async def test_32_at_debug_cookies_are_shown_as_hashes_and_values_nowhere(
    erp: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    # F10
    caplog.set_level(logging.DEBUG)
    async with flow("on_exchange", erp.url) as orders, orders.exchange():
        await orders.get("/whole/a")
        await orders.get("/whole/b?secret=1")
        erp.idle_out()
        answer = await orders.client().get("/whole/c")
    lines = [record.getMessage() for record in caplog.records if record.name == "holdfast.flows.cookies"]
    assert len(lines) == 4
    assert "/whole/b answered 200; sent JSESSIONID #" in lines[1]
    assert "httpcore2" in caplog.text  # what the HTTP library tells of an answer is looked at as well
    for value in erp.tell()["values"]:
        assert value not in caplog.text
        assert value not in str(answer.headers)


async def test_33_the_hash_set_first_is_the_hash_sent_next(erp: Receiver) -> None:
    # F10
    seen: list[Any] = []
    async with flow("on_exchange", erp.url, tracer=seen.append) as orders:
        await message(orders)
    first, second, third = seen
    assert first.sent == ()
    [(name, digest)] = first.set
    assert name == "JSESSIONID"
    assert len(digest) == 12
    assert second.sent == third.sent == ((name, digest),)
    assert second.set == ()


async def test_34_below_debug_there_is_nothing(erp: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with flow("on_exchange", erp.url) as orders:
        await message(orders)
    assert "JSESSIONID" not in caplog.text
