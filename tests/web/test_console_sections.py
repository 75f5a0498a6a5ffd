"""Pages that another face adds to the console: found below their path, guarded as the console's own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from starlette.routing import Mount

from holdfast.errors import NotFound
from holdfast.web.account.form import Form
from holdfast.web.account.markup import document, proof_field, tag
from holdfast.web.administration import Console
from holdfast.web.csrf import FIELD
from holdfast.web.notice import Notice
from holdfast.web.query import Query
from web.account_world import SECRET, World, world
from web.test_console import STALE_S, administrator, logged_on, proof_in

FLOWS = "/console/flows"


class Pages:
    """A section that remembers what it was asked for."""

    path, title = "/flows", "Integration flows"

    def __init__(self) -> None:
        self.done: list[tuple[str, str, str]] = []

    async def show(self, root: str, path: str, query: Query, proof: str) -> Notice:
        if path not in ("", "/orders"):
            raise NotFound("there is no such flow")
        return document(f"Flow {path}", tag("p", query.get("after", "")), proof_field(proof), root=root)

    async def do(self, root: str, path: str, form: Form, by: str) -> Notice:
        self.done.append((path, form["level"], by))
        return document("Done", root=root)


@pytest.fixture
async def pages() -> Pages:
    return Pages()


@pytest.fixture
async def site(tmp_path: Path, pages: Pages) -> AsyncIterator[World]:
    async with world(tmp_path, inside=False) as made:
        made.passwords.add("root", SECRET, roles=("admin",), shown="Root")
        made.app.routes.insert(0, Mount("/console", Console(made.security, sections=[pages])))
        yield made


async def test_a_section_is_linked_and_shows_its_pages(site: World) -> None:
    admin = await administrator(site)
    assert '<a href="/console/flows">Integration flows</a>' in (await admin.get("/console/logons")).text
    shown = await admin.get(f"{FLOWS}/orders?after=x")
    assert "<h1>Flow /orders</h1><p>x</p>" in shown.text
    refused = await admin.get(f"{FLOWS}/none")
    assert (refused.status_code, "there is no such flow." in refused.text) == (404, True)
    assert (await admin.get("/console/flowsome")).status_code == 404
    assert (await admin.ask("PUT", FLOWS, {})).status_code in (403, 405)


async def test_a_section_does_what_a_fresh_administrator_asks_with_the_token_of_its_page(
    site: World, pages: Pages
) -> None:
    admin, person = await administrator(site), await logged_on(site)
    proof = proof_in(await admin.get(f"{FLOWS}/orders"))
    assert (await admin.post(f"{FLOWS}/orders", {"level": "debug"})).status_code == 403, "without the token"
    assert (await person.post(f"{FLOWS}/orders", {"level": "debug", FIELD: proof})).status_code in (401, 403)
    assert pages.done == []
    assert (await admin.post(f"{FLOWS}/orders", {"level": "debug", FIELD: proof})).status_code == 200
    assert pages.done == [("/orders", "debug", "root")]
    site.clock.now += STALE_S
    late = await admin.post(f"{FLOWS}/orders", {"level": "debug", FIELD: proof})
    assert (late.status_code, "/console/flows/orders" in late.text, len(pages.done)) == (401, True, 1)
