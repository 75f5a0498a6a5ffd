"""Tasks at several workers on one store: found anywhere, answered anywhere, and honest about workers that die."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec
import pytest

from e2e.mcp_world import META, MODERN, Nothing, Text, World, call, handshake, modern, request, texts, world
from e2e.wire import PATIENCE, Exchange
from holdfast.core.keeper import Keeper
from holdfast.core.model import Reason
from holdfast.mcp import AsTask, Context, InputRequired, NativeDispatcher, ServerInfo, tool
from holdfast.web.bearer import StaticBearer

EXTENSION = "io.modelcontextprotocol/tasks"
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
DECLARED = {**META, CAPABILITIES: {"extensions": {EXTENSION: {}}, "elicitation": {}}}
FINAL = ("completed", "failed", "cancelled")


class Shop:
    """Tools that run as tasks; a test lets them go on, and sees how often they began."""

    def __init__(self) -> None:
        self.go, self.began, self.cancelled = anyio.Event(), 0, 0

    def dispatcher(self) -> NativeDispatcher:  # noqa: C901 - one tool after the other
        shop = self

        async def waiting(context: Context) -> str:
            shop.began += 1
            await context.progress(1, 2, "half way")
            try:
                await shop.go.wait()
            except BaseException:
                shop.cancelled += 1
                raise
            return "done"

        @tool(task=AsTask())
        async def work(arguments: Nothing, context: Context) -> str:
            """Work until the test says so."""
            return await waiting(context)

        @tool(task=AsTask(idempotent=True))
        async def again(arguments: Nothing, context: Context) -> str:
            """Work, and bear being run twice."""
            return await waiting(context)

        @tool(task=AsTask(required=True, ttl=100.0, poll=0.5))
        async def only(arguments: Text, context: Context) -> str:
            """Run as a task only."""
            return arguments.text

        @tool(task=AsTask(prompt=PATIENCE))
        async def soon(arguments: Text, context: Context) -> str:
            """Answer at once."""
            return arguments.text

        @tool(task=AsTask())
        async def large(arguments: Nothing, context: Context) -> str:
            """Answer with more than is kept."""
            return "x" * 2_000_000

        @tool(task=AsTask())
        async def confirm(arguments: Text, context: Context) -> str | InputRequired:
            """Ask twice, then say what was answered."""
            known = dict(context.request_state or {})
            for key, answer in context.input_responses.items():
                known[key] = answer["content"]["word"]
            missing = [key for key in ("first", "second") if key not in known]
            if missing:
                return InputRequired({key: elicit(key) for key in missing[:1]}, state=known)
            return f"{arguments.text} {known['first']} {known['second']}"

        return NativeDispatcher([work, again, only, soon, large, confirm], ServerInfo(name="shop", version="1"))


def elicit(message: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"word": {"type": "string"}}}
    return {"method": "elicitation/create", "params": {"mode": "form", "message": message, "requestedSchema": schema}}


class Crew:
    """Workers that serve the shop, and keepers beside them."""

    def __init__(self, made: World, shop: Shop) -> None:
        self.made, self.shop = made, shop

    async def send(self, number: int, body: Mapping[str, Any], meta: object = DECLARED, **headers: str) -> Exchange:
        name = body["params"].get("taskId") or body["params"].get("name", "")
        return await modern(self.made.workers[number].wire, dict(body), meta, mcp_name=name, **headers)

    async def start(self, name: str, **arguments: object) -> str:
        seen = await self.send(0, call(name, **arguments))
        assert seen.result["resultType"] == "task", seen.body
        return str(seen.result["taskId"])

    async def get(self, task_id: str, number: int = 1, **headers: str) -> Any:
        seen = await self.send(number, request("tasks/get", {"taskId": task_id}), **headers)
        assert seen.status == 200, seen.body
        return seen.result

    async def until(self, task_id: str, *wanted: str) -> Any:
        with anyio.fail_after(PATIENCE):
            while (seen := await self.get(task_id))["status"] not in wanted:
                await anyio.sleep(0.005)
        return seen

    async def turns(self, number: int) -> None:
        """Let time pass and a keeper look, as often as a dead worker takes to be noticed."""
        manager = self.made.workers[number].manager
        for _ in range(2):
            self.made.clock.advance(manager.tuning.lease_ttl)
            await Keeper(manager).turn()


@asynccontextmanager
async def crew(**options: Any) -> AsyncIterator[Crew]:
    shop = Shop()
    async with world() as made:
        made.workers.clear()
        for _ in range(2):
            await made.add(shop.dispatcher(), **options)
        yield Crew(made, shop)


async def test_a_task_is_found_at_any_worker_as_soon_as_its_id_is_known() -> None:
    # M19
    async with crew() as staff:
        seen = await staff.send(0, call("work"))
        task_id = seen.result["taskId"]
        found = await staff.get(task_id)
        assert found["status"] == seen.result["status"] == "working"
        assert found["createdAt"] == seen.result["createdAt"]
        assert seen.result["ttlMs"] == 3_600_000
        assert found["pollIntervalMs"] == 1000
        assert "serverInfo" in str(seen.result["_meta"])
        staff.shop.go.set()
        done = await staff.until(task_id, *FINAL)
        assert texts(done["result"]) == ["done"]
        assert (done["resultType"], done["status"]) == ("complete", "completed")


async def test_what_progress_says_is_shown_with_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.mcp.tasks.runner.BEATS", 1500)
    async with crew() as staff:
        task_id = await staff.start("work")
        with anyio.fail_after(PATIENCE):
            while "statusMessage" not in (seen := await staff.get(task_id)):
                await anyio.sleep(0.005)
        assert seen["statusMessage"] == "half way"


@pytest.mark.parametrize(("tool_name", "status"), [("again", 200), ("only", 400)])
async def test_a_client_that_does_not_declare_the_extension_gets_no_task(tool_name: str, status: int) -> None:
    # M19
    async with crew() as staff:
        staff.shop.go.set()
        arguments = {"text": "x"} if tool_name == "only" else {}
        seen = await staff.send(0, call(tool_name, **arguments), META)
        assert seen.status == status
        if status == 200:
            assert seen.result["resultType"] == "complete"
        else:
            assert seen.json["error"]["code"] == -32021
            assert seen.json["error"]["data"] == {"requiredCapabilities": {"extensions": {EXTENSION: {}}}}


async def test_legacy_clients_wait_for_the_result_in_the_call() -> None:
    async with crew() as staff:
        staff.shop.go.set()
        wire = staff.made.workers[0].wire
        named = await handshake(wire)
        seen = await wire.post(call("work"), **named)
        assert texts(seen.result) == ["done"]


@pytest.mark.parametrize("method", ["tasks/get", "tasks/update", "tasks/cancel"])
@pytest.mark.parametrize(
    ("meta", "task_id", "number"), [(META, "x" * 43, -32021), (DECLARED, "x" * 43, -32602), (DECLARED, "", -32602)]
)
async def test_task_methods_refuse_undeclaring_clients_and_unknown_tasks(
    method: str, meta: object, task_id: str, number: int
) -> None:
    # M19
    async with crew() as staff:
        params = {"inputResponses": {}} | ({"taskId": task_id} if task_id else {})
        seen = await staff.send(0, request(method, params), meta)
        assert (seen.status, seen.json["error"]["code"]) == (400, number)


@pytest.mark.parametrize("method", ["tasks/list", "tasks/result"])
async def test_methods_of_the_old_tasks_are_not_there(method: str) -> None:
    async with crew() as staff:
        seen = await staff.send(0, request(method, {}))
        assert (seen.status, seen.json["error"]["code"]) == (404, -32601)


async def test_the_extension_is_advertised_where_a_tool_runs_as_a_task() -> None:
    # M19
    async with crew() as staff:
        seen = await staff.send(0, request("server/discover"))
        assert seen.result["capabilities"]["extensions"] == {EXTENSION: {}}
    async with world() as made:
        seen = await modern(made.workers[0].wire, request("server/discover"), DECLARED)
        assert "extensions" not in seen.result["capabilities"]


async def test_another_principal_does_not_find_the_task() -> None:
    # M19, M12
    async with crew() as staff:
        others = await staff.made.add(staff.shop.dispatcher(), bearer=StaticBearer("s3cret", principal="bob"))
        task_id = await staff.start("work")
        for method in ("tasks/get", "tasks/cancel", "tasks/update"):
            body = request(method, {"taskId": task_id, "inputResponses": {}})
            seen = await modern(others.wire, body, DECLARED, mcp_name=task_id, authorization="Bearer s3cret")
            assert seen.json["error"]["code"] == -32602
        assert (await staff.get(task_id))["status"] == "working"


async def test_a_task_that_is_cancelled_at_another_worker_stops() -> None:
    # M19
    async with crew() as staff:
        task_id = await staff.start("work")
        seen = await staff.send(1, request("tasks/cancel", {"taskId": task_id}))
        assert seen.result == {"resultType": "complete", "_meta": seen.result["_meta"]}
        assert (await staff.get(task_id))["status"] == "cancelled"
        with anyio.fail_after(PATIENCE):
            while not staff.shop.cancelled:
                await anyio.sleep(0.005)
        again = await staff.send(0, request("tasks/cancel", {"taskId": task_id}))
        assert again.result["resultType"] == "complete"
        assert (await staff.get(task_id))["status"] == "cancelled"


async def test_input_is_asked_for_and_answered_at_any_worker_round_by_round() -> None:
    # M19
    async with crew() as staff:
        task_id = await staff.start("confirm", text="words:")
        for number, word in enumerate(("eins", "zwei"), 1):
            asks = await staff.until(task_id, "input_required")
            [(key, asked)] = asks["inputRequests"].items()
            assert key.endswith(f".{number}")
            assert asked["method"] == "elicitation/create"
            assert "requestState" not in asks
            answer = {"action": "accept", "content": {"word": word}}
            body = request("tasks/update", {"taskId": task_id, "inputResponses": {key: answer, "other": {}}})
            assert (await staff.send(number % 2, body)).result["resultType"] == "complete"
        done = await staff.until(task_id, *FINAL)
        assert texts(done["result"]) == ["words: eins zwei"]


async def test_an_answer_that_is_no_object_is_refused_and_one_too_late_is_acknowledged() -> None:
    async with crew() as staff:
        task_id = await staff.start("confirm", text="x")
        asks = await staff.until(task_id, "input_required")
        [key] = asks["inputRequests"]
        wrong = await staff.send(1, request("tasks/update", {"taskId": task_id, "inputResponses": {key: 5}}))
        assert (wrong.json["error"]["code"], key in wrong.json["error"]["message"]) == (-32602, True)
        await staff.send(1, request("tasks/cancel", {"taskId": task_id}))
        late = await staff.send(1, request("tasks/update", {"taskId": task_id, "inputResponses": {key: {}}}))
        assert late.result["resultType"] == "complete"
        assert (await staff.get(task_id))["status"] == "cancelled"


async def test_a_tool_that_is_soon_done_needs_no_task() -> None:
    async with crew() as staff:
        seen = await staff.send(0, call("soon", text="now"))
        assert (seen.result["resultType"], texts(seen.result)) == ("complete", ["now"])


async def test_a_result_too_large_to_keep_makes_the_task_fail_and_say_so() -> None:
    async with crew() as staff:
        failed = await staff.until(await staff.start("large"), *FINAL)
        assert (failed["status"], "cannot be kept" in failed["error"]["message"]) == ("failed", True)


async def test_a_task_is_there_for_its_time_and_no_longer() -> None:
    # M19
    async with crew() as staff:
        task_id = await staff.start("only", text="x")
        await staff.until(task_id, "completed")
        staff.made.clock.advance(99.0)
        assert (await staff.get(task_id))["ttlMs"] == 100_000
        staff.made.clock.advance(1.0)
        seen = await staff.send(1, request("tasks/get", {"taskId": task_id}))
        assert seen.json["error"]["code"] == -32602


async def test_a_task_whose_node_is_ended_by_hand_stops() -> None:
    async with crew() as staff:
        await staff.start("work")
        manager = staff.made.workers[1].manager
        [record] = [record async for record in manager.each("kind", "task")]
        await manager.end(record.ref, Reason.ADMIN)
        for worker in staff.made.workers:
            worker.endpoint._dispatcher._changes.tell_here(None)  # type: ignore[attr-defined]
        with anyio.fail_after(PATIENCE):
            while not staff.shop.cancelled:
                await anyio.sleep(0.005)


async def dead_after(staff: Crew, name: str) -> str:
    """Start a task at a worker that dies without a word."""
    task_id = await staff.start(name)
    endpoint = staff.made.workers[0].endpoint
    with anyio.fail_after(PATIENCE):
        while not staff.shop.began:
            await anyio.sleep(0.005)
    runner = endpoint._dispatcher._tasks._runner  # type: ignore[attr-defined]
    runner._hear = lambda change: None
    for run in runner._runs.values():
        run.name = "a worker that is gone"  # it minds, and writes, what is no longer its own
    return task_id


async def test_a_task_whose_worker_dies_fails_and_says_so_within_the_time_of_a_lease_and_a_turn() -> None:
    # M19
    async with crew() as staff:
        task_id = await dead_after(staff, "work")
        await staff.turns(1)
        failed = await staff.get(task_id)
        assert failed["status"] == "failed"
        assert "whether it was carried out is not known" in failed["error"]["message"]
        assert "result" not in failed


async def test_a_task_that_may_be_run_again_is_when_its_worker_dies() -> None:
    # M19
    async with crew() as staff:
        task_id = await dead_after(staff, "again")
        await staff.turns(1)
        with anyio.fail_after(PATIENCE):
            while staff.shop.began < 2:
                await anyio.sleep(0.005)
        staff.shop.go.set()
        done = await staff.until(task_id, *FINAL)
        assert texts(done["result"]) == ["done"]
        assert staff.shop.began == 2


async def test_a_worker_that_was_only_slow_keeps_its_task() -> None:
    # M19
    async with crew() as staff:
        task_id = await staff.start("work")
        manager = staff.made.workers[1].manager
        staff.made.clock.advance(manager.tuning.lease_ttl)
        await Keeper(manager).turn()  # suspects it
        [run] = [record async for record in manager.each("kind", "run")]
        await staff.made.workers[0].endpoint._dispatcher._tasks._register.beat(  # type: ignore[attr-defined]
            await manager.get(run.ref)
        )
        await Keeper(manager).turn()
        assert (await staff.get(task_id))["status"] == "working"
        staff.shop.go.set()
        assert (await staff.until(task_id, *FINAL))["status"] == "completed"


@pytest.mark.parametrize(("name", "status"), [("work", "failed"), ("again", "completed")])
async def test_a_server_that_stops_leaves_its_tasks_in_order(name: str, status: str) -> None:
    # M18, M19
    shop = Shop()
    async with world() as made:
        made.workers.clear()
        await made.add(shop.dispatcher())
        staff = Crew(made, shop)
        async with world() as other:
            other.workers.clear()
            other.store, other.keys, other.clock = made.store, made.keys, made.clock
            await other.add(shop.dispatcher())
            made.workers.insert(0, other.workers[0])
            task_id = await staff.start(name)
            with anyio.fail_after(PATIENCE):
                while not shop.began:
                    await anyio.sleep(0.005)
        shop.go.set()
        assert (await staff.until(task_id, *FINAL))["status"] == status


async def test_a_listen_stream_tells_of_the_callers_own_tasks_at_any_worker() -> None:
    # M19
    async with crew() as staff:
        task_id = await staff.start("work")
        asked = {"taskIds": [task_id, "x" * 43], "toolsListChanged": True}
        body = request("subscriptions/listen", {"notifications": asked, "_meta": DECLARED}, "l1")
        headers = {"mcp-protocol-version": MODERN, "mcp-method": "subscriptions/listen"}
        async with anyio.create_task_group() as tasks:
            stream = staff.made.workers[1].wire.begin(tasks, "POST", body, headers=headers)
            await stream.until(lambda seen: seen.messages)
            assert stream.messages[0]["params"]["notifications"] == {"taskIds": [task_id]}
            staff.shop.go.set()
            await stream.until(lambda seen: seen.messages[-1]["params"].get("status") == "completed")
            last = stream.messages[-1]
            assert last["method"] == "notifications/tasks"
            assert last["params"]["taskId"] == task_id
            assert texts(last["params"]["result"]) == ["done"]
            assert last["params"]["_meta"] == {"io.modelcontextprotocol/subscriptionId": "l1"}
            stream.leave()
            await stream.until(lambda seen: seen.ended)


async def test_what_a_task_holds_is_sealed_in_the_store() -> None:
    # E4, E5
    async with crew() as staff:
        task_id = await staff.start("only", text="hunter2")
        await staff.until(task_id, "completed")
        stored = [record async for record in staff.made.workers[0].manager.each("all", b"")]
        raw = msgspec.msgpack.encode(stored)
        assert task_id.encode() not in raw
        assert b"hunter2" not in raw
