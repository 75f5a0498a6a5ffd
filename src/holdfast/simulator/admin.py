"""The administrator's view, as JSON: SM04, SM05, SM12, clock, switches, faults, counters.

GET  /sm04 /sm05 /sm12 /counters /requests /switches /faults /status
PUT  /switches           changes the named switches and returns all
POST /clock/advance      {"seconds": 60}
POST /faults             one rule or a list of rules; DELETE /faults removes all
POST /restart /reset
DELETE /sm12/{id}        deletes a lock entry by hand
"""

from typing import TYPE_CHECKING, Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from holdfast.simulator.clock import iso
from holdfast.simulator.enqueue import LockEntry
from holdfast.simulator.faults import Rule
from holdfast.simulator.sessions import Context

if TYPE_CHECKING:
    from holdfast.simulator.system import Simulator


class Admin:
    """The handlers of the admin API."""

    def __init__(self, system: "Simulator") -> None:
        self._system = system

    async def sm04(self, _request: Request) -> Response:
        """Contexts that outlive a request."""
        self._sweep()
        return JSONResponse([self._context(context) for context in self._system.sessions.contexts()])

    async def sm05(self, _request: Request) -> Response:
        """Security sessions."""
        self._sweep()
        rows = [
            {
                "id": session.resource_id,
                "user": session.user,
                "client": self._system.client,
                "created_at": session.created_at,
                "last_used": session.used_at,
                "contexts": len(session.contexts),
            }
            for session in self._system.sessions.sessions()
        ]
        return JSONResponse(rows)

    async def sm12(self, _request: Request) -> Response:
        """Lock entries, those whose delayed release is outstanding included."""
        now = self._sweep()
        return JSONResponse([self._lock(entry) for entry in self._system.locks.entries(now)])

    async def delete_lock(self, request: Request) -> Response:
        """Delete one lock entry by hand."""
        found = self._system.locks.remove_id(request.path_params["id"], self._sweep())
        return JSONResponse({"deleted": found}, 200 if found else 404)

    async def advance(self, request: Request) -> Response:
        """Move the simulated clock forward."""
        try:
            self._system.clock.advance(float((await request.json())["seconds"]))
        except (ValueError, KeyError, TypeError) as exc:
            return JSONResponse({"error": str(exc)}, 400)
        return JSONResponse({"now": self._sweep()})

    async def switches(self, request: Request) -> Response:
        """Read or change switches."""
        if request.method == "PUT":
            try:
                self._system.switch(self._system.switches.changed(await request.json()))
            except (msgspec.ValidationError, ValueError, TypeError) as exc:
                return JSONResponse({"error": str(exc)}, 400)
        return JSONResponse(msgspec.to_builtins(self._system.switches))

    async def faults(self, request: Request) -> Response:
        """Read, add or remove fault rules."""
        queue = self._system.faults
        if request.method == "DELETE":
            queue.rules.clear()
        elif request.method == "POST":
            try:
                data = await request.json()
                for rule in msgspec.convert(data if isinstance(data, list) else [data], list[Rule]):
                    queue.add(rule)
            except (msgspec.ValidationError, ValueError) as exc:
                return JSONResponse({"error": str(exc)}, 400)
        return JSONResponse(msgspec.to_builtins(queue.rules))

    async def counters(self, _request: Request) -> Response:
        """Requests, logons and stored sources so far."""
        system = self._system
        more = {"logons": system.sessions.logons, "restarts": system.restarts}
        return JSONResponse(system.journal.counters() | more)

    async def requests(self, request: Request) -> Response:
        """The last requests, oldest first; `?last=N` for fewer, `?after=N` for those with a higher number."""
        last, after = (_number(request.query_params.get(name, "")) for name in ("last", "after"))
        rows = [row for row in self._system.journal.requests if row["number"] > after]
        return JSONResponse(rows[-last:] if last else rows)

    async def status(self, _request: Request) -> Response:
        """What kind of system this is."""
        system = self._system
        now = self._sweep()
        return JSONResponse(
            {
                "system": system.system_id,
                "client": system.client,
                "profile": system.profile.name,
                "now": now,
                "objects": len(system.repository),
                "contexts": sum(1 for _ in system.sessions.contexts()),
                "locks": sum(1 for _ in system.locks.entries(now)),
                "purpose": "learning and testing",
            }
        )

    async def restart(self, _request: Request) -> Response:
        """Restart the application server."""
        self._system.restart()
        return JSONResponse({"restarts": self._system.restarts})

    async def reset(self, _request: Request) -> Response:
        """Go back to the first state."""
        self._system.reset()
        return JSONResponse({"reset": True})

    def _sweep(self) -> float:
        now = self._system.clock()
        self._system.sweep(now)
        return now

    def _context(self, context: Context) -> dict[str, Any]:
        return {
            "context": context.key[-16:],
            "user": context.session.user,
            "session": context.session.resource_id,
            "created_at": context.created_at,
            "last_used": context.used_at,
            "running": context.running,
            "type": "HTTP",
        }

    def _lock(self, entry: LockEntry) -> dict[str, Any]:
        return {
            "id": entry.id,
            "object_type": entry.key[0],
            "object": entry.key[1],
            "argument": f"{entry.key[0].partition('/')[0]}{entry.key[1]:\uffff<40}",
            "mode": "E",
            "user": entry.user,
            "client": self._system.client,
            "since": entry.since,
            "since_utc": iso(entry.since),
            "context": entry.owner[-16:],
            "releasing": entry.releasing,
        }


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def admin_app(system: "Simulator") -> Starlette:
    """Return the admin API of this system as an ASGI application."""
    admin = Admin(system)
    return Starlette(
        routes=[
            Route("/", admin.status),
            Route("/status", admin.status),
            Route("/sm04", admin.sm04),
            Route("/sm05", admin.sm05),
            Route("/sm12", admin.sm12),
            Route("/sm12/{id}", admin.delete_lock, methods=["DELETE"]),
            Route("/clock/advance", admin.advance, methods=["POST"]),
            Route("/switches", admin.switches, methods=["GET", "PUT"]),
            Route("/faults", admin.faults, methods=["GET", "POST", "DELETE"]),
            Route("/counters", admin.counters),
            Route("/requests", admin.requests),
            Route("/restart", admin.restart, methods=["POST"]),
            Route("/reset", admin.reset, methods=["POST"]),
        ]
    )
