"""ALICE: another user of the same system, whose locks nobody of ours may ever free, nor write past.

She holds two objects all the time, in a session of her own; and sometimes one of ours is hers all of a sudden, as when
an administrator has deleted our lock and she was faster. Such an object she gives back after a while.
"""

from typing import Any

import anyio
import httpx2
import msgspec
from bench.chaos.model import Model
from bench.chaos.world import Sap

from e2e.abap_world import CLASS, PASSWORD
from holdfast.adt import calls
from holdfast.adt.types import TYPES
from holdfast.backend.wire import Call

USER = "ALICE"
KIND = TYPES["CLAS/OC"]
OBJECTS = ("ZCL_ALICE_1", "ZCL_ALICE_2")
LOOK_S = 0.5
KEPT_S = 2.0


class Taken(msgspec.Struct):
    """A lock of hers: its entry and the text below it, as they were first seen."""

    row: dict[str, Any]
    source: str | None
    since: float


class Foreign:
    """Her session, and an eye on her locks."""

    def __init__(self, sap: Sap, model: Model) -> None:
        self._sap, self._model = sap, model
        self.standing: dict[str, Taken] = {}
        self.grabbed: dict[str, Taken] = {}
        self.given_back = 0
        self._token = ""

    async def begin(self, http: httpx2.AsyncClient) -> None:
        """Log on, make the objects and lock them."""
        answer = await http.get(
            f"{self._sap.url}/sap/bc/adt/discovery", headers={"x-csrf-token": "Fetch"}, auth=(USER, PASSWORD)
        )
        self._token = answer.headers["x-csrf-token"]
        for name in OBJECTS:
            given = {"description": name, "package": "$TMP", "responsible": USER, "language": "EN", "transport": ""}
            await self._send(http, calls.create(KIND, name, **given))
        for name in OBJECTS:
            handle = (await self._send(http, calls.lock(KIND, name))).partition("<LOCK_HANDLE>")[2].partition("<")[0]
            source = CLASS.source(name, nonce="alice").encode()
            await self._send(
                http, calls.write_source(KIND, name, part="main", source=source, handle=handle, transport="")
            )
        self.standing = {name: await self._seen(name) for name in OBJECTS}

    async def watch(self) -> None:
        """Look at what has become hers, and give it back after a while."""
        while True:
            await self.look()
            await anyio.sleep(LOOK_S)

    async def look(self, *, at_once: bool = False) -> None:
        """Look once. With `at_once`, give everything back that was not hers from the beginning."""
        for row in await self._sap.rows("sm12"):
            if row["user"] == USER and row["object"] not in OBJECTS and row["object"] not in self.grabbed:
                self.grabbed[row["object"]] = await self._seen(row["object"])
        for name, taken in list(self.grabbed.items()):
            if at_once or anyio.current_time() - taken.since >= KEPT_S:
                await self._check(name, taken)
                if not await self._sap.delete_lock(taken.row):
                    self._model.violate("foreign lock freed", name, "it was gone when she gave it back")
                del self.grabbed[name]
                self.given_back += 1

    async def check(self) -> None:
        """See that all she has locked from the beginning is hers still, and as she left it."""
        await self.look(at_once=True)
        for name, taken in self.standing.items():
            await self._check(name, taken)

    async def _check(self, name: str, taken: Taken) -> None:
        row = await self._sap.lock_on(name)
        if row is None or row["id"] != taken.row["id"]:
            self._model.violate("foreign lock freed", name, f"instead of hers there is {row}")
        if await self._sap.source(name) != taken.source:
            self._model.violate("foreign object changed", name, "its text is another one than when she locked it")

    async def _seen(self, name: str) -> Taken:
        row = await self._sap.lock_on(name)
        assert row is not None
        return Taken(row, await self._sap.source(name), anyio.current_time())

    async def _send(self, http: httpx2.AsyncClient, call: Call) -> str:
        """Send with the session's cookies, which the client keeps."""
        headers = {**call.headers, "x-csrf-token": self._token}
        answer = await http.request(call.method, self._sap.url + call.target, headers=headers, content=call.body)
        return answer.raise_for_status().text
