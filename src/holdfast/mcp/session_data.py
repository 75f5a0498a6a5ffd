"""The data of the session whose request is being answered, for tools, prompts and resources (M22).

    async with session_data() as data:       # saved at the end of the block
        data["basket"] = [*data.get("basket", []), article]

The same data are `scope["mcp.session"]` behind `McpSessionMiddleware`.
"""

from holdfast.errors import SessionNotFound
from holdfast.mcp.calling import calling
from holdfast.web.session_data import SessionData


def session_data() -> SessionData:
    """Return the data of the session whose request is being answered: in a tool, a prompt or a resource.

    Raises:
        SessionNotFound: The client has no session: a modern one, or one that the server serves without.
        ConfigurationError: No request is being answered.
    """
    call = calling()
    if call.context.session is None:
        raise SessionNotFound(
            "this client has no session", hint="Keep state behind holdfast.mcp.Handles: they serve both eras."
        )
    return SessionData(call.manager, call.context.session)
