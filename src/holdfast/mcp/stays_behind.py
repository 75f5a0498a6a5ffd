"""What a server of the SDK or FastMCP has that does not go along: said once at start, in one line, by its name.

Two sorts: what its own transport would have done (routes, settings), which has no effect here; and what it keeps in
process memory, which no other worker sees and no restart survives. Only what can be seen in the server is named; the
manual tells of the rest ("What stays behind"). Nothing of the SDK or FastMCP is imported.
"""

import logging
import sys
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

logger = logging.getLogger(__name__)

# Settings of a transport, with what does the same here.
INSTEAD: Final[Mapping[str, str]] = MappingProxyType(
    {
        "host": "the ASGI server's own",
        "port": "the ASGI server's own",
        "streamable_http_path": "asgi(path=…)",
        "sse_path": "asgi(sse_path=…)",
        "message_path": "asgi(sse_path=…)",
        "event_store": "streams are in the store",
        "json_response": 'asgi(answers="json")',
        "stateless": "asgi(stateless=True)",
        "stateless_http": "asgi(stateless=True)",
        "security_settings": "the settings allowed_hosts and allowed_origins",
        "http_host_origin_protection": "the settings allowed_hosts and allowed_origins",
        "http_allowed_hosts": "the setting allowed_hosts",
        "http_allowed_origins": "the setting allowed_origins",
        "retry_interval": "clients are told when to come back",
        "session_idle_timeout": "asgi(idle_timeout=…)",
        "http_session_idle_timeout": "asgi(idle_timeout=…)",
        "max_sessions": "[kinds.mcp] total",
        "max_request_body_size": "the setting max_body_bytes",
    }
)
MANAGED: Final = (
    "event_store",
    "json_response",
    "stateless",
    "security_settings",
    "retry_interval",
    "session_idle_timeout",
    "max_sessions",
    "max_request_body_size",
)
MEMORY: Final = "key_value.aio.stores.memory"
LIMITS_RATES: Final = "fastmcp.server.middleware.rate_limiting"
CACHES: Final = "fastmcp.server.middleware.caching"
TASKS: Final = "io.modelcontextprotocol/tasks"
NO_LIFESPAN: Final = ("mcp.server.lowlevel.server.lifespan", "fastmcp.server.server.default_lifespan")


def is_fastmcp(server: object) -> bool:
    """Say whether this is a FastMCP server; whoever has one has imported the package."""
    fastmcp = sys.modules.get("fastmcp")
    return fastmcp is not None and isinstance(server, fastmcp.FastMCP)


def servers_of(server: Any) -> Iterator[Any]:
    """Yield a server and, with FastMCP, all that are mounted in it."""
    yield server
    for provider in getattr(server, "providers", ()):
        inner = provider
        while hasattr(inner, "_inner"):  # a transform around a provider
            inner = inner._inner
        if is_fastmcp(getattr(inner, "server", None)):
            yield from servers_of(inner.server)


def say_what_stays_behind(server: Any, lowlevel: Any, *, shared: bool) -> None:
    """Log what does not go along, if there is anything. `shared` says that there may be other workers."""
    found = [*without_effect(server, lowlevel)]
    if shared:
        found += in_memory(server, lowlevel)
    if found:
        text = "of the server %r this does not go along (manual: What stays behind): %s"
        logger.warning(text, lowlevel.name, "; ".join(found))


def without_effect(server: Any, lowlevel: Any) -> Iterator[str]:
    """Yield what the server's own transport would have done."""
    routes = [
        *getattr(server, "_custom_starlette_routes", ()),
        *(route for each in servers_of(server) for route in getattr(each, "_additional_http_routes", ())),
    ]
    if routes:
        yield f"{', '.join(sorted({route.path for route in routes}))} not served: mount the routes beside it"
    for name in (*_of_its_manager(lowlevel), *_of_fastmcp(server)):
        yield f"{name} has no effect (instead: {INSTEAD[name]})"


def in_memory(server: Any, lowlevel: Any) -> Iterator[str]:
    """Yield what the server keeps in the memory of its process."""
    if not _is_default(lowlevel.lifespan, server):
        yield "what its lifespan sets up is each worker's own"
    for each in servers_of(server):
        if _is_memory(getattr(each, "_state_storage", None)):
            yield "session_state_store is in memory: leave it out, and state is kept in the store"
        for middleware in getattr(each, "middleware", ()):
            yield from _of_middleware(middleware)
        if (own := getattr(each, "_extensions", {})) and isinstance(own, Mapping) and TASKS in own:
            yield from _of_tasks(own[TASKS])


def _of_its_manager(lowlevel: Any) -> Iterator[str]:
    """Yield what was set for a transport that was made already (`streamable_http_app(…)`)."""
    manager = lowlevel._session_manager
    if manager is None:
        return
    usual = type(manager)(lowlevel)
    for name in MANAGED:
        if getattr(manager, name) != getattr(usual, name):
            yield name


def _of_fastmcp(server: Any) -> Iterator[str]:
    """Yield what was set in FastMCP's environment for a transport."""
    if is_fastmcp(server):
        given = sys.modules["fastmcp"].settings.model_fields_set
        yield from (name for name in INSTEAD if name in given)


def _is_default(lifespan: Any, server: Any) -> bool:
    own = getattr(server, "_lifespan", None) or lifespan
    return f"{getattr(own, '__module__', '')}.{getattr(own, '__qualname__', '')}" in NO_LIFESPAN


def _is_memory(store: Any) -> bool:
    while hasattr(store, "key_value"):  # a wrapper around a store
        store = store.key_value
    return type(store).__module__.startswith(MEMORY)


def _of_middleware(middleware: Any) -> Iterator[str]:
    name, module = type(middleware).__name__, {base.__module__ for base in type(middleware).__mro__}
    if LIMITS_RATES in module:
        yield f"{name} counts in each worker by itself: the setting rate_limit_per_client counts over all"
    elif CACHES in module and _is_memory(middleware._backend):
        yield f"{name} caches in each worker by itself: give it a shared cache_storage"


def _of_tasks(extension: Any) -> Iterator[str]:
    url = str(getattr(getattr(extension, "docket_settings", None), "url", ""))
    if url.startswith("memory:"):
        yield "its tasks are in memory: give TasksExtension a Redis url, or use asgi(tasks=…) instead"
