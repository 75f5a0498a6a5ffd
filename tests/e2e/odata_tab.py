"""A tab of somebody with a token, for the orders of `odata_staff_server.py` at two processes."""

from typing import Any

import httpx2

from e2e.pair import Pair

ONE, TWO = "Orders('1')", "Orders('2')"


class Tab:
    """One person's tab, whose requests go to both processes in turn, or where `at` says."""

    def __init__(self, pair: Pair, name: str) -> None:
        self.pair, self.name, self.id, self.token, self._turn = pair, name, "", "", 0

    def head(self, *more: tuple[str, str]) -> list[tuple[str, str]]:
        """Return the headers of this tab, in whose place others of the same name stand."""
        own = [("authorization", f"Bearer {self.name}"), ("x-csrf-token", self.token), ("sap-contextid", self.id)]
        named = {name for name, _ in more}
        return [*((name, value) for name, value in own if value and name not in named), *more]

    async def send(
        self, method: str, path: str, body: Any = None, *more: tuple[str, str], at: int | None = None
    ) -> httpx2.Response:
        """Send a request, with the headers of this tab but for those that are given."""
        self._turn += 1
        kind = [("content-type", "application/json")] if body is not None else []
        named = {name for name, _ in more}
        return await self.pair.ask(
            self._turn if at is None else at,
            method,
            body,
            self.head(*(one for one in kind if one[0] not in named), *more),
            f"/svc/{path}",
        )

    async def begin(self, entity: str, note: str) -> None:
        """Log on, edit an order and change its note."""
        self.token = (await self.send("HEAD", "", None, ("x-csrf-token", "Fetch"))).headers["x-csrf-token"]
        edited = await self.send("POST", f"{entity}/Demo.Edit", {})
        assert edited.status_code == 200, edited.text
        self.id = edited.headers["sap-contextid"]
        assert (await self.send("PATCH", entity, {"Note": note})).status_code == 200

    async def is_as_it_was(self, entity: str, note: str) -> None:
        """Fail unless the session is there, with just this change, at either process."""
        for _ in (0, 1):
            seen = await self.send("GET", f"{entity}?$expand=Items")
            assert (seen.status_code, seen.headers["sap-contextid"]) == (200, self.id)
            row = seen.json()
            assert (row["Note"], row["Amount"], row["Items"], row["Log"]) == (note, 0, [], [note])
