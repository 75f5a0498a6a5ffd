"""Our own tools behind the dispatcher interface: compiled readers, schemas of the same types, answers built of bytes.

What never changes (the list of tools, what the server says about itself) is written as JSON once, at start.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Raw

from holdfast._version import __version__
from holdfast.core.manager import Manager
from holdfast.errors import ConfigurationError, HoldfastError, StoreUnavailable
from holdfast.mcp import rounds
from holdfast.mcp.dispatch import AsTask, Context, Services
from holdfast.mcp.jsonrpc import JSON, RpcError
from holdfast.mcp.mirrored import mirrored_in
from holdfast.mcp.protocol import (
    DISCOVER,
    INVALID_PARAMS,
    LOG_LEVELS,
    META_SERVER,
    METHOD_NOT_FOUND,
    REMOVED_IN_MODERN,
    SERVED,
    Era,
)
from holdfast.mcp.rounds import Call
from holdfast.mcp.tool import InputRequired, Tool, ToolResult

logger = logging.getLogger(__name__)

LIST_TTL_MS: Final = 60_000
EMPTY: Final = b"{}"


class ServerInfo(msgspec.Struct, frozen=True):
    """What the server says about itself."""

    name: str
    version: str = __version__
    title: str | None = None


class _Level(msgspec.Struct, frozen=True):
    level: str


class _Initialize(msgspec.Struct, frozen=True):
    version: str = msgspec.field(name="protocolVersion")


class _Entry:
    """A tool, ready to be called."""

    __slots__ = ("decode", "handler", "name", "schema", "structured", "waits")

    def __init__(self, tool: Tool, schema: Mapping[str, Any]) -> None:
        self.name, self.handler, self.waits = tool.name, tool.handler, tool.waits
        self.decode = msgspec.json.Decoder(tool.arguments).decode
        self.structured = tool.result is not None
        self.schema = schema if mirrored_in(schema) else None


_T = TypeVar("_T")
_CALL: Final = msgspec.json.Decoder(Call)


class NativeDispatcher:
    """Serves tools of ours.

    Args:
        tools: In the order in which clients see them.
        info: What the server says about itself.
        instructions: What a model reads before it uses the server.

    Raises:
        ConfigurationError: Two tools have one name, or a type has no finite schema.
    """

    def __init__(self, tools: Sequence[Tool], info: ServerInfo, instructions: str = "") -> None:
        listed = [tool.description_for_clients() for tool in tools]
        self._tools = {tool.name: _Entry(tool, entry["inputSchema"]) for tool, entry in zip(tools, listed, strict=True)}
        if len(self._tools) != len(tools):
            raise ConfigurationError("two tools have the same name")
        self._as_tasks = {tool.name: tool.task for tool in tools if tool.task is not None}
        self._manager: Manager | None = None
        self._info = {word: value for word, value in msgspec.to_builtins(info).items() if value is not None}
        self._said = {"instructions": instructions} if instructions else {}
        self._asked = b',"_meta":' + JSON.encode({META_SERVER: self._info}) + b"}"
        self._tail = b',"resultType":"complete"' + self._asked
        capabilities: dict[str, Any] = {"capabilities": {"tools": {}}}
        listing = JSON.encode({"tools": listed})
        cached = {"ttlMs": LIST_TTL_MS, "cacheScope": "public"}
        self._initialize = {**capabilities, "capabilities": {"tools": {}, "logging": {}}, **self._said}
        self._fixed: dict[tuple[Era, str], bytes] = {
            (Era.LEGACY, "ping"): EMPTY,
            (Era.LEGACY, "tools/list"): listing,
            (Era.MODERN, "tools/list"): self._modern(JSON.encode({"tools": listed, **cached})),
            (Era.MODERN, DISCOVER): self._modern(
                JSON.encode({"supportedVersions": list(SERVED), **capabilities, **self._said, **cached})
            ),
        }

    @property
    def info(self) -> Mapping[str, Any]:
        """What the server says about itself."""
        return self._info

    @property
    def lists(self) -> Sequence[str]:
        """None changes: the tools are those it was made with."""
        return ()

    @property
    def tasks(self) -> Mapping[str, AsTask]:
        """The tools that were made to run as tasks."""
        return self._as_tasks

    @asynccontextmanager
    async def running(self, services: Services) -> AsyncIterator[None]:
        """Seal what tools want back with the engine's keys while the server is up."""
        self._manager = services.manager
        yield

    def stop(self) -> None:
        """End nothing: tools run to their end."""

    def answer(self, context: Context) -> bytes | Awaitable[bytes]:
        """Return the result of a request; of a tool that waits, an awaitable of it."""
        if context.method == "tools/call":
            return self._call(context)
        fixed = self._fixed.get((context.era, context.method))
        if fixed is not None:
            return fixed
        if context.era is Era.MODERN or context.method not in REMOVED_IN_MODERN:
            raise RpcError(METHOD_NOT_FOUND, f"method {context.method!r} is not served here", context.method)
        return self._legacy_only(context)

    async def take(self, context: Context) -> None:
        """No notification concerns our tools: the transport has kept what the session has to know."""

    async def input_schema(self, tool: str, context: Context) -> Mapping[str, Any] | None:
        """Return the input schema of a tool of which an argument is mirrored in a header."""
        entry = self._tools.get(tool)
        return entry.schema if entry else None

    def _legacy_only(self, context: Context) -> bytes:
        if context.method == "initialize":
            version = _read(_Initialize, context.params).version
            return JSON.encode({"protocolVersion": version, "serverInfo": self._info, **self._initialize})
        if context.method == "logging/setLevel":
            level = _read(_Level, context.params).level
            if level not in LOG_LEVELS:
                raise RpcError(INVALID_PARAMS, f"level {level!r} is none of {', '.join(LOG_LEVELS)}")
            return EMPTY
        raise RpcError(METHOD_NOT_FOUND, f"method {context.method!r} is not served here", context.method)

    def _modern(self, result: bytes) -> bytes:
        return result[:-1] + self._tail

    # -- tools

    def _call(self, context: Context) -> bytes | Awaitable[bytes]:
        try:
            call = _CALL.decode(context.params)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            raise RpcError(INVALID_PARAMS, f"params of tools/call: {exc}") from None
        entry = self._tools.get(call.name)
        if entry is None:
            raise RpcError(INVALID_PARAMS, f"unknown tool: {call.name}; tools/list names those there are")
        try:
            arguments = entry.decode(call.arguments)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            return self._finish(context, _told("bad_input", f"arguments: {exc}", "Correct the argument that is named."))
        if entry.waits or call.is_retry:
            return self._wait(entry, call, arguments, context)
        try:
            value = entry.handler(arguments, context)
            if isinstance(value, InputRequired):
                return self._wait(entry, call, arguments, context, value)
            return self._finish(context, _content(entry, value))
        except (RpcError, StoreUnavailable):  # the latter is the whole server's trouble: 503 (E26)
            raise
        except Exception as exc:  # noqa: BLE001 - whatever a tool raises becomes its result
            return self._finish(context, _failure(entry, exc))

    async def _wait(self, entry: _Entry, call: Call, arguments: Any, context: Context, value: Any = None) -> bytes:
        """Call a tool that waits, or go on with one that has asked for something."""
        if call.is_retry:
            await rounds.recall(self._here, context, call)
        try:
            if value is None:
                value = await _called(entry, arguments, context)
            while isinstance(value, InputRequired):
                if context.era is Era.MODERN:
                    return rounds.ask(self._here, context, call, value) + self._asked
                await rounds.ask_now(context, value)
                value = await _called(entry, arguments, context)
            return self._finish(context, _content(entry, value))
        except (RpcError, StoreUnavailable):  # the latter is the whole server's trouble: 503 (E26)
            raise
        except Exception as exc:  # noqa: BLE001 - whatever a tool raises becomes its result
            return self._finish(context, _failure(entry, exc))

    @property
    def _here(self) -> Manager:
        assert self._manager is not None  # noqa: S101 - it answers only while it runs
        return self._manager

    def _finish(self, context: Context, opened: bytes) -> bytes:
        return opened + (self._tail if context.era is Era.MODERN else b"}")


def _read(type_: type[_T], params: Raw) -> _T:
    try:
        return msgspec.json.decode(params, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise RpcError(INVALID_PARAMS, f"params: {exc}") from None


async def _called(entry: _Entry, arguments: Any, context: Context) -> Any:
    value = entry.handler(arguments, context)
    return await value if entry.waits else value


def _content(entry: _Entry, value: Any) -> bytes:
    """Return a result of a tool as JSON, without the closing brace."""
    if isinstance(value, str):
        return b'{"content":[{"type":"text","text":%b}]' % JSON.encode(value)
    if isinstance(value, ToolResult):
        return _blocks(value)
    if value is None and not entry.structured:
        return b'{"content":[]'
    plain = JSON.encode(value)
    text = JSON.encode(plain.decode())
    shown = b',"structuredContent":%b' % plain if entry.structured else b""
    return b'{"content":[{"type":"text","text":%b}]%b' % (text, shown)


def _blocks(value: ToolResult) -> bytes:
    body: dict[str, Any] = {"content": value.content}
    if value.structured is not None:
        body["structuredContent"] = value.structured
    if value.is_error:
        body["isError"] = True
    return JSON.encode(body)[:-1]


def _failure(entry: _Entry, exc: Exception) -> bytes:
    """Return what a client is told of a failure: our own errors in full; of any other, that it was logged."""
    if isinstance(exc, HoldfastError):
        return _told(exc.code, str(exc), exc.hint)
    logger.error("tool %s failed", entry.name, exc_info=exc)
    return _told("internal", f"the tool {entry.name} failed", "The server's log names the cause.")


def _told(code: str, message: str, hint: str) -> bytes:
    error = {"code": code, "message": message, "hint": hint}
    block = {"type": "text", "text": f"{code}: {message} — {hint}"}
    return JSON.encode({"content": [block], "structuredContent": {"error": error}, "isError": True})[:-1]
