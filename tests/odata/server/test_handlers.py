"""What handlers may keep for themselves, and what they are told about the call they are in (O12)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import httpx2
import msgspec

from holdfast.config import Settings
from holdfast.core.model import Ref
from holdfast.odata.server import EntitySet, ETag, Hidden, Key, Service, asgi, calling
from odata.server.world import BASE, Tab


class Thing(msgspec.Struct):
    ID: Annotated[str, Key] = ""
    Note: str = ""
    Seen: Annotated[str | None, ETag] = None
    handle: Annotated[str, Hidden] = ""


class Things(EntitySet[Thing]):
    def __init__(self) -> None:
        self.saved: list[Thing] = []
        self.nodes: list[Ref | None] = []

    def list(self, query: object) -> list[Thing]:
        return [Thing("1", "one")]

    def read(self, key: str) -> Thing:
        return Thing(key, "one", {"1": "v1", "2": None}.get(key, key))

    def edit(self, row: Thing) -> Thing:
        self.nodes.append(calling().node)
        return msgspec.structs.replace(row, handle="taken")

    def save(self, row: Thing, base: Thing | None) -> Thing:
        self.nodes.append(calling().node)
        self.saved.append(row)
        return row


@asynccontextmanager
async def served(things: Things) -> AsyncIterator[Tab]:
    app = asgi(Service("Demo", things), settings=Settings(_env_file=None))
    async with (
        app.opened.running(),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=BASE) as http,
    ):
        yield Tab(http)


async def test_a_hidden_field_stays_with_the_handler_until_it_saves() -> None:  # O12
    things = Things()
    async with served(things) as tab:
        edited = (await tab.send("POST", "Things('1')/Demo.Edit", {})).json()
        assert "handle" not in edited
        metadata = (await tab.http.get("/$metadata")).text
        assert 'Name="Note"' in metadata
        assert "handle" not in metadata
        refused = await tab.send("PATCH", "Things('1')", {"handle": "mine"})
        assert refused.status_code == 400
        await tab.send("PATCH", "Things('1')", {"Note": "changed"})
        saved = await tab.send("POST", "Things('1')/Demo.Save", {})
        assert saved.status_code == 200, saved.text
    assert things.saved == [Thing("1", "changed", "v1", handle="taken")]


async def test_an_entity_whose_version_is_not_known_in_a_list_has_no_etag_there() -> None:  # O11
    async with served(Things()) as tab:
        listed = (await tab.send("GET", "Things")).json()["value"]
        assert "@odata.etag" not in listed[0]
        assert (await tab.send("GET", "Things('1')")).json()["@odata.etag"] == 'W/"v1"'


async def test_an_entity_whose_version_is_not_known_is_read_all_the_same() -> None:  # O11
    async with served(Things()) as tab:
        for known in ({}, {"If_None_Match": ""}, {"If_None_Match": 'W/""'}):
            read = await tab.send("GET", "Things('2')", **known)
            assert (read.status_code, read.json()["ID"]) == (200, "2")
            assert "etag" not in read.headers


async def test_a_version_of_any_text_is_one_etag_and_one_line() -> None:  # O11
    async with served(Things()) as tab:
        for key, version in (
            ("a%0D%0AX-More:%20b", "a%0D%0AX-More:%20b"),
            ("a,b", "a%2Cb"),
            ('"', "%22"),
            ("ö", "%C3%B6"),
        ):
            read = await tab.send("GET", f"Things('{key}')")
            assert read.headers["etag"] == read.json()["@odata.etag"] == f'W/"{version}"'
            assert "x-more" not in read.headers
            again = await tab.send("GET", f"Things('{key}')", If_None_Match=f'W/"x", {read.headers["etag"]}')
            assert again.status_code == 304


async def test_a_handler_is_told_the_node_of_its_session_from_the_edit_on() -> None:  # S6
    things = Things()
    async with served(things) as tab:
        await tab.send("POST", "Things('1')/Demo.Edit", {})
        await tab.send("POST", "Things('1')/Demo.Save", {})
    assert isinstance(things.nodes[0], Ref)
    assert things.nodes[0] == things.nodes[1]
