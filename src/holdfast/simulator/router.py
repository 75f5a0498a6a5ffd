"""Which resource answers which URL. Paths are matched by Starlette's routes, methods by the resource."""

from collections.abc import Callable, Sequence

from starlette.routing import Match, Route

from holdfast.simulator.answers import Answer, adt_error, no_resource
from holdfast.simulator.call import Call
from holdfast.simulator.profiles import Profile

Handler = Callable[[Call], Answer]


class Resource:
    """One resource: a handler for each method. HEAD is answered as GET, without its body."""

    def __init__(self, **handlers: Handler) -> None:
        self._handlers = handlers

    def __call__(self, call: Call) -> Answer:
        handler = self._handlers.get("GET" if call.method == "HEAD" else call.method)
        if handler is None:
            text = f"Resource controller does not support method {call.method}"
            raise adt_error(405, "ExceptionMethodNotSupported", text, t100="SADT_RESOURCE/010", variables=[call.method])
        return handler(call)


class Router:
    """The resources of one system, in the order they are tried."""

    def __init__(self, profile: Profile, routes: Sequence[tuple[str, Resource]]) -> None:
        self._profile = profile
        self._routes = [(Route(path, endpoint=resource), resource) for path, resource in routes]

    def dispatch(self, call: Call) -> Answer:
        """Answer the request, or refuse it with 404 or 405."""
        scope = {"type": "http", "path": call.path.rstrip("/"), "method": call.method, "root_path": ""}
        for route, resource in self._routes:
            match, found = route.matches(scope)
            if match is not Match.NONE:
                call.params = found["path_params"]
                call.route = route.path
                if call.method == "HEAD" and self._profile.head_status != 200:
                    return Answer(self._profile.head_status)
                return resource(call)
        raise no_resource()
