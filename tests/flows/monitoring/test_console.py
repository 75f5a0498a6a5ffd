"""Flows in the administrator's console: what is shown of messages, the log level, and sending again."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from starlette.routing import Mount

from flows.senders import scripts
from holdfast.engine import open_engine
from holdfast.flows import flow_kinds
from holdfast.flows.model import read_flow
from holdfast.flows.monitoring.console import FlowPages
from holdfast.flows.runtime import DeployedFlow, Message, StepFailed, deployed
from holdfast.web.administration import Console
from web.account_world import SECRET, Browser, World, world
from web.test_console import administrator, logged_on, proof_in

FLOW = """
flow: orders
http_session_reuse: on_exchange
receivers:
  erp: {adapter: http, url: "http://erp/orders"}
steps:
  - call: erp
  - call: {receiver: erp, method: POST}
"""
PAGES = "/console/flows"


class Erp:
    """A receiver with sessions, that can be out of order, and can be slow."""

    def __init__(self) -> None:
        self.broken = False
        self.slow: anyio.Event | None = None

    async def answer(self, request: httpx2.Request) -> httpx2.Response:
        if self.slow is not None and request.method == "POST":
            await self.slow.wait()
        if self.broken:
            return httpx2.Response(400, text="<b>out of order</b>")
        headers = {} if "cookie" in request.headers else {"set-cookie": "SID=very-secret; Path=/"}
        return httpx2.Response(200, headers=headers, text="fine")


@pytest.fixture
def erp() -> Erp:
    return Erp()


@asynccontextmanager
async def _site(tmp_path: Path, erp: Erp, text: str = FLOW) -> AsyncIterator[tuple[World, DeployedFlow]]:
    async with (
        open_engine("memory://", kinds=flow_kinds()) as engine,
        deployed(read_flow(text, "orders.yaml"), engine.manager, transport=httpx2.MockTransport(erp.answer)) as running,
        world(tmp_path, inside=False) as made,
    ):
        made.passwords.add("root", SECRET, roles=("admin",), shown="Root")
        pages = FlowPages(engine.manager, {"orders": running})
        made.app.routes.insert(0, Mount("/console", Console(made.security, sections=[pages])))
        yield made, running


@pytest.fixture
async def site(tmp_path: Path, erp: Erp) -> AsyncIterator[tuple[World, DeployedFlow]]:
    async with _site(tmp_path, erp) as both:
        yield both


async def shown(admin: Browser, path: str) -> str:
    page = await admin.get(f"{PAGES}{path}")
    assert page.status_code == 200, page.text
    return page.text


async def told(admin: Browser, path: str, of: str, **form: Any) -> httpx2.Response:
    """Send a form of a page, with the token that the page has."""
    proof = proof_in(await admin.get(f"{PAGES}{of}"))
    return await admin.post(f"{PAGES}{path}", {**form, "csrf_token": proof})


async def test_a_message_is_shown_with_its_cookies_as_hashes_at_debug_and_without_them_below(
    site: tuple[World, DeployedFlow],
) -> None:
    # F10, F20; statements 32 to 34
    world_, flow = site
    admin = await administrator(world_)
    await flow.process(Message(id="before"))
    done = await told(admin, "", "", flow="orders", level="debug", hours="1")
    assert "are logged at debug until" in done.text
    assert "Back to info" in await shown(admin, "")
    with anyio.fail_after(5):
        while True:
            await flow.process(Message(id="after"))
            await flow.process(Message(id="after-2"))
            if "request" in (text := await _until(admin, "/message?flow=orders&id=after-2")):
                break
    sent, set_ = re.findall(r"sent (.*?); set (.*?)<", text)
    assert (sent[0], set_[1]) == ("no cookie", "no cookie")
    assert sent[1] == set_[0]
    assert re.fullmatch(r"SID #[0-9a-f]{12}", sent[1])
    assert "very-secret" not in text
    assert "SID" not in await _until(admin, "/message?flow=orders&id=before")


async def _until(admin: Browser, path: str) -> str:
    """Return a page as soon as the log has what it shows."""
    with anyio.fail_after(5):
        while True:
            page = await admin.get(f"{PAGES}{path}")
            if page.status_code == 200:
                return page.text
            assert page.status_code == 404
            await anyio.sleep(0.02)


async def test_a_failed_message_is_found_its_answer_escaped_and_it_is_sent_again(
    site: tuple[World, DeployedFlow], erp: Erp
) -> None:
    # F17
    world_, flow = site
    admin = await administrator(world_)
    erp.broken = True
    with pytest.raises(StepFailed):
        await flow.process(Message(id="order-7"))
    listed = await shown(admin, "/messages?flow=orders&outcome=failed")
    assert "orders.yaml:7: erp answered 400" in listed
    assert "order-7" in listed
    one = "/message?flow=orders&id=order-7"
    page = await shown(admin, one)
    assert "Send it again" in page
    assert "<b>out" not in page
    again = await told(admin, "/message", one, flow="orders", id="order-7")
    assert "It was not processed" in again.text
    erp.broken = False
    assert "It was processed." in (await told(admin, "/message", one, flow="orders", id="order-7")).text
    with anyio.fail_after(5):
        while "Run 3: done" not in (page := await shown(admin, one)):  # the log is written a moment later
            await anyio.sleep(0.02)
    assert page.count("erp answered 400") == 4
    refused = await told(admin, "/message", "", flow="orders", id="order-7")
    assert "It was not processed" in refused.text, "one that went well is not sent again"


async def test_what_a_flow_is_at_shows_while_it_is(site: tuple[World, DeployedFlow], erp: Erp) -> None:
    # F18
    world_, flow = site
    admin = await administrator(world_)
    erp.slow = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(flow.process, Message(id="long-one"))
        with anyio.fail_after(5):
            while "1 line in the log" not in (text := await shown(admin, "")):
                await anyio.sleep(0.02)
        assert "1 message: " in text
        assert "running" in await shown(admin, "/message?flow=orders&id=long-one")
        erp.slow.set()
    with anyio.fail_after(5):
        while "At work on</dt><dd>nothing" not in await shown(admin, ""):
            await anyio.sleep(0.02)


COUNTED = """
flow: orders
steps:
  - split:
      over: body
      do:
        - script: flows.senders.scripts:stop_at_c
"""


async def test_the_counts_of_a_split_show_while_it_runs_and_where_it_was_when_it_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # F18
    monkeypatch.setattr(scripts, "gates", {"here": anyio.Event()})
    message = Message(id="long-one", body=[{"id": letter} for letter in "abcde"])
    async with _site(tmp_path, Erp(), COUNTED) as (world_, flow):
        admin = await administrator(world_)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(flow.process, message)
            with anyio.fail_after(5):
                while "orders.yaml:4: 2 of 5" not in await shown(admin, ""):
                    await anyio.sleep(0.02)
            assert "<dt>At orders.yaml:4</dt><dd>2 of 5</dd>" in await shown(admin, "/message?flow=orders&id=long-one")
            tasks.cancel_scope.cancel()
        with anyio.fail_after(5):
            while "Outcome</dt><dd>failed" not in await shown(admin, "/messages"):
                await anyio.sleep(0.02)
        assert "<dt>At orders.yaml:4</dt><dd>2 of 5</dd>" in await shown(admin, "/message?flow=orders&id=long-one")


async def test_what_is_wrong_is_said_and_nobody_but_administrators_comes_here(
    site: tuple[World, DeployedFlow],
) -> None:
    # R73
    world_, _ = site
    admin, person = await administrator(world_), await logged_on(world_)
    assert (await person.get(PAGES)).status_code in (303, 403)
    assert (await admin.get(f"{PAGES}/message?flow=orders&id=nobody")).status_code == 404
    assert (await admin.get(f"{PAGES}/message")).status_code == 400
    assert (await admin.get(f"{PAGES}/else")).status_code == 404
    assert (await told(admin, "", "", flow="orders", level="loud")).status_code == 400
    assert (await told(admin, "", "", flow="orders", level="debug", hours="x")).status_code == 400
    assert (await told(admin, "/message", "", flow="bills", id="x")).status_code == 404
    assert "There are none." in await shown(admin, "/messages?outcome=filtered")
