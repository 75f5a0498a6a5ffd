"""From what a dispatcher makes of a request to what the client gets."""

import logging
from collections.abc import Awaitable, Mapping

from holdfast.errors import HoldfastError, SessionEnded, SessionNotFound
from holdfast.mcp import jsonrpc
from holdfast.mcp.answer import Answer
from holdfast.mcp.calls import Withdrawn
from holdfast.mcp.jsonrpc import RequestId, RpcError
from holdfast.mcp.protocol import INTERNAL_ERROR

logger = logging.getLogger(__name__)


class Failure(Exception):
    """A request came to an error: what to send, and with which status if that is still open."""

    def __init__(self, body: bytes, status: int) -> None:
        super().__init__(status)
        self.body, self.status = body, status


async def settled(outcome: Awaitable[bytes], id: RequestId, statuses: Mapping[int, int]) -> bytes:  # noqa: A002
    """Return a request's result as JSON.

    Raises:
        Failure: It came to an error; `statuses` gives the HTTP status of a JSON-RPC code, 200 where it says nothing.
        SessionEnded, SessionNotFound: The session ended meanwhile.
        Withdrawn: Nobody wants an answer any more.
    """
    try:
        return await outcome
    except RpcError as exc:
        raise Failure(jsonrpc.error(id, exc.number, str(exc), exc.data), statuses.get(exc.number, 200)) from exc
    except (SessionEnded, SessionNotFound, Withdrawn):
        raise
    except HoldfastError as exc:
        body = jsonrpc.error(id, exc.status, str(exc), {"code": exc.code, "hint": exc.hint})
        raise Failure(body, exc.status) from exc
    except Exception as exc:
        logger.exception("a request failed")
        message = "internal error; the server's log names the cause"
        raise Failure(jsonrpc.error(id, INTERNAL_ERROR, message), 200) from exc


async def give(answer: Answer, outcome: Awaitable[bytes], id: RequestId, statuses: Mapping[int, int]) -> None:  # noqa: A002
    """Send the answer to one request, whatever it comes to.

    Raises:
        SessionEnded, SessionNotFound: The session ended meanwhile, and nothing was sent yet.
    """
    try:
        result = await settled(outcome, id, statuses)
    except Failure as failure:
        await answer.finish(failure.body, failure.status)
    except Withdrawn:
        await answer.drop()
    except (SessionEnded, SessionNotFound) as exc:
        if not answer.streaming:
            raise
        await answer.finish(jsonrpc.error(id, exc.status, str(exc), {"code": exc.code, "hint": exc.hint}))
    else:
        await answer.finish(jsonrpc.response(id, result))
