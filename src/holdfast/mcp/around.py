"""What the transport adds to any dispatcher: listen streams, tasks, states used once, and who calls (`calling`).

A dispatcher like others, around the one that answers: neither the eras in front of it nor the servers behind it know.
"""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec

from holdfast.core.manager import Manager
from holdfast.mcp.calling import CALL, Calling
from holdfast.mcp.changes import Changes
from holdfast.mcp.dispatch import AsTask, Context, Dispatcher, Services
from holdfast.mcp.jsonrpc import JSON
from holdfast.mcp.listen import Listening
from holdfast.mcp.protocol import DISCOVER, LISTEN, TASKS, Era
from holdfast.mcp.state import STATE_TTL_S, refusal
from holdfast.mcp.tasks.register import Register
from holdfast.mcp.tasks.serve import Tasks


class _Call(msgspec.Struct, frozen=True):
    name: str
    state: Any = msgspec.field(default=None, name="requestState")


_CALL: Final = msgspec.json.Decoder(_Call)


class Around:
    """A dispatcher around another.

    Args:
        tasks: Which tools run as tasks for clients that declare the extension, beside those that say so themselves.
        once: The tools that take each `requestState` only once, beside those that say so themselves.
    """

    def __init__(
        self, inner: Dispatcher, manager: Manager, *, tasks: Mapping[str, AsTask], once: Collection[str]
    ) -> None:
        self._inner, self._manager, self._once = inner, manager, frozenset(once)
        self.info, self.lists, self.tasks = inner.info, inner.lists, {**inner.tasks, **tasks}
        self._changes = Changes(manager.store.channel)
        register = Register(manager, self._changes)
        self._tasks = Tasks(register, self._changes, self._answer, self.tasks, inner.info)
        self._listening = Listening(
            self._changes,
            lists=frozenset(inner.lists or ()),
            tasks=self._tasks.tellings if self.tasks else None,
            info=inner.info,
        )
        self._methods = {**self._tasks.methods, DISCOVER: self._discover} if self.tasks else {}
        if inner.lists or (self.tasks and inner.lists is not None):
            self._methods[LISTEN] = self._listening.serve

    @asynccontextmanager
    async def running(self, services: Services | None = None) -> AsyncIterator[None]:
        """Run the dispatcher inside, its tasks, and the way to other workers."""
        services = services or Services(self._manager, self._changes)
        async with self._changes.open(), self._inner.running(services), self._tasks.running():
            yield

    def stop(self) -> None:
        """End listen streams with their results."""
        self._listening.close()
        self._inner.stop()

    def answer(self, context: Context) -> bytes | Awaitable[bytes]:
        """Return the result of a request, or an awaitable of it."""
        if context.method == "tools/call" and (self.tasks or self._once):
            return self._call(context)
        own = self._methods.get(context.method) if context.era is Era.MODERN else None
        return own(context) if own is not None else self._answer(context)

    async def take(self, context: Context) -> None:
        """Pass a notification on."""
        CALL.set(Calling(self._manager, context))
        await self._inner.take(context)

    async def input_schema(self, tool: str, context: Context) -> Mapping[str, Any] | None:
        """Return the input schema of a tool."""
        return await self._inner.input_schema(tool, context)

    # -- inside

    def _answer(self, context: Context) -> bytes | Awaitable[bytes]:
        CALL.set(Calling(self._manager, context))
        return self._inner.answer(context)

    def _call(self, context: Context) -> bytes | Awaitable[bytes]:
        try:
            call = _CALL.decode(context.params)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._answer(context)  # which says what is wrong with it
        if isinstance(call.state, str) and call.name in self._once:
            return self._called_once(context, call)
        return self._called(context, call)

    def _called(self, context: Context, call: _Call) -> bytes | Awaitable[bytes]:
        policy = self._tasks.policy_for(call.name, context)
        return self._answer(context) if policy is None else self._tasks.call(context, call.name, policy)

    async def _called_once(self, context: Context, call: _Call) -> bytes:
        """Answer a call whose state nobody has brought before. Another principal's use of it does not count."""
        mark = hashlib.sha256(JSON.encode([context.principal, call.state])).hexdigest()
        manager = self._manager
        if not await manager.store.counters.once(f"mcp.state.{mark}", now=manager.clock(), ttl=STATE_TTL_S):
            raise refusal()
        outcome = self._called(context, call)
        return outcome if isinstance(outcome, bytes) else await outcome

    async def _discover(self, context: Context) -> bytes:
        """Say that tasks are served here."""
        outcome = self._answer(context)
        result = msgspec.json.decode(outcome if isinstance(outcome, bytes) else await outcome)
        extensions = result["capabilities"].setdefault("extensions", {})
        extensions.setdefault(TASKS, {})
        return JSON.encode(result)
