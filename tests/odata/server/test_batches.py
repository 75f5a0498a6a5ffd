"""Batches in a session and outside, as OpenUI5 sends them and as JSON (O11, sticky OData §6)."""

from typing import Any

import httpx2
import msgspec
import pytest

from holdfast.odata import batch
from odata.server.world import Tab, World, opened

EPILOGUE = b"Group ID: $auto"


def part(method: str, url: str, body: Any = None, **headers: str) -> batch.Part:
    """Return a request of a batch; `id` and `depends_on` are not its headers."""
    name = headers.pop("id", "")
    given = {"accept": "application/json;odata.metadata=minimal;IEEE754Compatible=true"} | {
        key.replace("_", "-"): value for key, value in headers.items()
    }
    content = b"" if body is None else msgspec.json.encode(body)
    if content:
        given["content-type"] = "application/json;charset=UTF-8;IEEE754Compatible=true"
    return batch.Part(method=method, url=url, headers=given, body=content, id=name)


def together(*parts: batch.Part) -> batch.ChangeSet:
    """Return a change set, with Content-IDs as OpenUI5 gives them."""
    named = [msgspec.structs.replace(one, id=one.id or f"{at}.0") for at, one in enumerate(parts)]
    return batch.ChangeSet(parts=tuple(named))


async def posted(tab: Tab, *items: batch.Part | batch.ChangeSet, **headers: str) -> httpx2.Response:
    """Send a batch as multipart."""
    kind, body = batch.write_requests(items)
    return await tab.send("POST", "$batch", body + EPILOGUE, Content_Type=kind, **headers)


def told(answer: httpx2.Response) -> list[Any]:
    """Return the answers in a multipart answer, those of change sets in a list."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["odata-version"] == "4.0"
    found = batch.read_answers(answer.headers["content-type"], answer.content)
    return [list(one.answers) if isinstance(one, batch.ChangeSetAnswer) else one for one in found]


async def edited(world: World) -> Tab:
    """Return a tab that edits the first order, by a batch."""
    tab = world.tab()
    answer = await posted(tab, part("POST", "Orders('1')/Demo.Edit", {}, if_match='W/"1"'))
    assert told(answer)[0].status == 200
    assert tab.id
    return tab


async def test_a_batch_that_edits_tells_the_id_outside_and_one_that_saves_tells_none() -> None:
    # §6.1, §6.5; O10: the change of one batch is there in the next
    async with opened() as world:
        tab = await edited(world)
        first = tab.id
        patched = await posted(tab, part("PATCH", "Orders('1')", {"Note": "changed"}, if_match='W/"1"'))
        assert msgspec.json.decode(told(patched)[0].body)["Note"] == "changed"
        assert tab.id == first
        saved = await posted(tab, part("POST", "Orders('1')/Demo.Save", {}, if_match='W/"1"'))
        assert told(saved)[0].status == 200
        assert "sap-contextid" not in saved.headers
        assert world.orders.table["1"].Note == "changed"


async def test_patch_and_save_in_one_change_set_end_the_session() -> None:
    # scenario F
    async with opened() as world:
        tab = await edited(world)
        answer = await posted(
            tab, together(part("PATCH", "Orders('1')", {"Note": "f"}), part("POST", "Orders('1')/Demo.Save", {}))
        )
        [answers] = told(answer)
        assert [one.status for one in answers] == [200, 200]
        assert [one.id for one in answers] == ["0.0", "1.0"]  # §6.7
        assert tab.id is None
        assert world.orders.table["1"].Note == "f"


async def test_edit_patch_and_save_in_one_batch_need_no_session_afterwards() -> None:
    async with opened() as world:
        tab = world.tab()
        answer = await posted(
            tab,
            part("POST", "Orders('1')/Demo.Edit", {}),
            part("PATCH", "Orders('1')", {"Note": "all"}),
            part("POST", "Orders('1')/Demo.Save", {}),
        )
        assert [one.status for one in told(answer)] == [200, 200, 200]
        assert "sap-contextid" not in answer.headers
        assert world.orders.table["1"].Note == "all"
        assert not world.orders.locks


async def test_a_failing_part_leaves_out_the_rest_and_keeps_the_session() -> None:
    # §6.3, §6.7: scenario 5
    async with opened() as world:
        tab = await edited(world)
        items = (
            part("PATCH", "Orders('1')", {"Note": "refuse"}),
            part("POST", "Orders('1')/Demo.Save", {}),
            part("GET", "Orders"),
        )
        answer = await posted(tab, *items)
        assert [one.status for one in told(answer)] == [200, 422]
        assert answer.headers["sap-contextid"] == tab.id
        goes_on = await posted(tab, *items, Prefer="odata.continue-on-error")
        assert [one.status for one in told(goes_on)] == [200, 422, 200]


async def test_a_change_set_that_fails_leaves_nothing() -> None:
    # O11: atomic, in the buffer and where a session would have begun
    async with opened() as world:
        tab = await edited(world)
        answer = await posted(
            tab,
            together(part("PATCH", "Orders('1')", {"Note": "half"}), part("PATCH", "Orders('1')", {"Amount": -1})),
        )
        [failed] = told(answer)
        assert (failed.status, failed.id) == (422, "1.0")
        assert (await tab.send("GET", "Orders('1')")).json()["Note"] == "first"

        other = world.tab()
        begun = await posted(
            other,
            together(part("POST", "Orders('2')/Demo.Edit", {}), part("PATCH", "Orders('3')", {"Note": "x"})),
        )
        assert told(begun)[0].status == 409
        assert other.id is None
        assert world.orders.locks.keys() == {"1"}


async def test_a_change_set_whose_save_is_followed_by_a_failure_is_not_saved_in_the_session() -> None:
    async with opened() as world:
        tab = await edited(world)
        answer = await posted(
            tab,
            together(
                part("POST", "Orders('1')/Demo.Save", {}),
                part("PATCH", "Orders('2')", {"Note": "x"}),
            ),
        )
        assert told(answer)[0].status == 409
        assert answer.headers["sap-contextid"] == tab.id  # the session goes on with what it held


async def test_session_and_token_in_parts_do_not_count() -> None:
    # §6.1: they are from when the part was queued
    async with opened() as world:
        tab = await edited(world)
        answer = await posted(
            tab, part("GET", "Orders('1')", x_csrf_token="old", sap_contextid="SID:ANON:dead", SAP_ContextId="A" * 43)
        )
        assert told(answer)[0].status == 200


async def test_a_dead_id_fails_the_whole_batch_and_nothing_is_done() -> None:
    # §6.2
    async with opened() as world:
        tab = await edited(world)
        old = str(tab.id)
        await tab.send("POST", "Discard", {})
        answer = await posted(tab, part("POST", "Orders('2')/Demo.Edit", {}), SAP_ContextId=old)
        assert (answer.status_code, answer.headers["sap-err-id"]) == (400, "ICMENOSESSION")
        assert "multipart" not in answer.headers["content-type"]
        assert not world.orders.locks


async def test_a_stale_token_in_a_session_keeps_it() -> None:
    # scenario 7
    async with opened() as world:
        tab = await edited(world)
        refused = await posted(tab, part("GET", "Orders"), X_CSRF_Token="stale")
        assert (refused.status_code, refused.headers["x-csrf-token"]) == (403, "Required")
        assert refused.headers["sap-contextid"] == tab.id
        head = await tab.send("HEAD", "", X_CSRF_Token="Fetch")
        assert head.headers["sap-contextid"] == tab.id
        again = await posted(tab, part("GET", "Orders"), X_CSRF_Token=head.headers["x-csrf-token"])
        assert told(again)[0].status == 200


async def test_discard_in_a_batch_ends_the_session() -> None:
    async with opened() as world:
        tab = await edited(world)
        answer = await posted(tab, part("POST", "Discard", {}))
        assert told(answer)[0].status == 204
        assert "sap-contextid" not in answer.headers
        assert not world.orders.locks


async def test_what_begins_after_a_discard_in_the_same_batch_is_whole_or_not_at_all() -> None:
    async with opened() as world:
        tab = await edited(world)
        wrong = part("PATCH", "Orders('2')", {"Nothing": 1})
        parts = part("POST", "Discard"), part("POST", "Orders('2')/Demo.Edit", {})
        half = together(part("PATCH", "Orders('2')", {"Note": "half"}), wrong)
        answers = told(await posted(tab, *parts, half, prefer="odata.continue-on-error"))
        assert [one.status for one in answers] == [204, 200, 400]
        assert world.orders.locks.keys() == {"2"}
        assert (await tab.send("GET", "Orders('2')")).json()["Note"] == "second"
        answers = told(await posted(tab, together(*parts, wrong)))  # a discard ends the session in any case (O3)
        assert [one.status for one in answers] == [400]
        assert (tab.id, world.orders.locks) == (None, {})
        tab = await edited(world)
        world.orders.fails.add("discard")
        answers = told(await posted(tab, together(part("POST", "Discard"), wrong)))
        assert ([one.status for one in answers], tab.id) == ([422], None)
        world.orders.fails.clear()  # what could not be discarded is, when the service ends


async def test_an_absolute_address_in_a_part_is_one_of_this_service() -> None:
    async with opened() as world:
        tab = world.tab()
        answer = await posted(
            tab,
            part("GET", "/Orders('1')"),
            part("GET", "http://127.0.0.1:8000/Orders?$top=1"),
            part("GET", "$metadata"),
            Prefer="odata.continue-on-error",
        )
        assert [one.status for one in told(answer)] == [200, 200, 400]


async def test_a_json_batch_refers_to_what_it_has_made() -> None:
    # O11
    async with opened() as world:
        tab = world.tab()
        body = {
            "requests": [
                {"id": "new", "method": "post", "url": "Frees", "body": {"ID": 5, "Text": "a"}},
                {"id": "patch", "method": "patch", "url": "$new", "dependsOn": ["new"], "body": {"Text": "b"}},
                {"id": "bad", "method": "get", "url": "Nothing"},
                {"id": "after", "method": "get", "url": "Frees(5)", "dependsOn": ["bad"]},
            ]
        }
        answer = await tab.send("POST", "$batch", body)
        responses = {one["id"]: one for one in answer.json()["responses"]}
        assert {name: one["status"] for name, one in responses.items()} == {
            "new": 201,
            "patch": 200,
            "bad": 404,
            "after": 424,
        }
        assert responses["patch"]["body"]["Text"] == "b"
        assert world.frees.table[5].Text == "b"


async def test_a_json_batch_edits_and_saves_in_one_group() -> None:
    async with opened() as world:
        tab = await edited(world)
        body = {
            "requests": [
                {"id": "1", "method": "PATCH", "url": "Orders('1')", "atomicityGroup": "g", "body": {"Note": "j"}},
                {"id": "2", "method": "POST", "url": "Orders('1')/Demo.Save", "atomicityGroup": "g", "body": {}},
            ]
        }
        answer = await tab.send("POST", "$batch", body)
        assert [one["status"] for one in answer.json()["responses"]] == [200, 200]
        assert [one["atomicityGroup"] for one in answer.json()["responses"]] == ["g", "g"]
        assert world.orders.table["1"].Note == "j"


@pytest.mark.parametrize(
    ("status", "code", "kind", "body"),
    [
        (400, "broken_boundary", "multipart/mixed; boundary=x", b"--y\r\n\r\n--y--"),
        (415, "unsupported_media_type", "text/plain", b"x"),
        (400, "bad_batch", "application/json", b'{"requests": 7}'),
        (
            400,
            "nested_change_set",
            "multipart/mixed; boundary=x",
            b"--x\r\nContent-Type: multipart/mixed;boundary=c\r\n\r\n--c\r\nContent-Type: multipart/mixed;boundary=d"
            b"\r\n\r\n--d--\r\n--c--\r\n--x--",
        ),
        (
            400,
            "read_in_change_set",
            "multipart/mixed; boundary=x",
            b"--x\r\nContent-Type: multipart/mixed;boundary=c\r\n\r\n--c\r\nContent-Type: application/http\r\n"
            b"Content-Transfer-Encoding: binary\r\n\r\nGET Orders HTTP/1.1\r\n\r\n\r\n--c--\r\n--x--",
        ),
    ],
)
async def test_a_batch_that_cannot_be_read_is_refused_whole(status: int, code: str, kind: str, body: bytes) -> None:
    async with opened() as world:
        tab = await edited(world)
        answer = await tab.send("POST", "$batch", body, Content_Type=kind)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        assert answer.headers["sap-contextid"] == tab.id
        assert (await tab.send("GET", "Orders('1')")).status_code == 200


async def test_a_batch_has_bounds() -> None:
    async with opened(max_parts=3) as world:
        tab = await edited(world)
        answer = await posted(tab, *[part("PATCH", "Orders('1')", {"Note": str(number)}) for number in range(4)])
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "batch_too_large")
        assert answer.headers["sap-contextid"] == tab.id
        assert (await tab.send("GET", "Orders('1')")).json()["Note"] == "first"
        huge = await tab.send(
            "POST", "$batch", b" " * (4 * 1024 * 1024 + 1), Content_Type="multipart/mixed; boundary=x"
        )
        assert (huge.status_code, huge.headers["sap-contextid"]) == (413, tab.id)


async def test_requests_of_a_batch_can_be_answered_without_metadata() -> None:
    async with opened() as world:
        answer = await posted(world.tab(), part("GET", "Orders('1')", accept="application/json;odata.metadata=none"))
        [one] = told(answer)
        assert not any(name.startswith("@") for name in msgspec.json.decode(one.body))
