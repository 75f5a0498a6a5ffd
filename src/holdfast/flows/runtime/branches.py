"""Several ways for one message: one after the other or in parallel, results in order, and what is made of these."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import anyio

from holdfast.errors import BadInput, HoldfastError
from holdfast.flows.message import Message
from holdfast.flows.sessions.deployment import Deployment

Branch = Callable[[], Awaitable[Message | None]]


async def in_turn(branches: Sequence[Branch], done: Callable[[int], None]) -> list[Message]:
    """Return what the branches result in; they share the sessions of the message. `done` is told how many ended."""
    results = []
    for number, branch in enumerate(branches, start=1):
        results.append(await branch())
        done(number)
    return [result for result in results if result is not None]


async def in_parallel(
    branches: Sequence[Branch], done: Callable[[int], None], deployment: Deployment, workers: int
) -> list[Message]:
    """Return what the branches result in, in their order; `workers` run at a time (F8 says what sessions they have).

    The first that fails stops the others, and its error is raised.
    """
    results: list[Message | None] = [None] * len(branches)
    failed: list[HoldfastError] = []
    ended = 0
    limiter = anyio.Semaphore(workers)

    async def run(number: int, place: Any) -> None:
        nonlocal ended
        try:
            async with limiter, place:
                results[number] = await branches[number]()
        except HoldfastError as exc:
            failed.append(exc)
            group.cancel_scope.cancel()
        else:
            ended += 1
            done(ended)

    async with AsyncExitStack() as stack:
        places = await stack.enter_async_context(deployment.split(len(branches)))
        async with anyio.create_task_group() as group:
            for number, place in enumerate(places):
                group.start_soon(run, number, place)
        if failed:
            raise failed[0]
    return [result for result in results if result is not None]


def gathered(how: str, bodies: Any) -> Any:
    """Return one body for a list of them: texts, bytes or lists joined, mappings merged, or one of them.

    Raises BadInput if they are not of that kind.
    """
    if not isinstance(bodies, list | tuple):
        raise BadInput("there is nothing to gather: the body is not a list", hint="Gather after a split or multicast.")
    if how in ("first", "last"):
        return (bodies[0] if how == "first" else bodies[-1]) if bodies else None
    return _merged(bodies) if how == "merge" else _joined(bodies)


def _merged(bodies: Sequence[Any]) -> dict[Any, Any]:
    if not all(isinstance(body, dict) for body in bodies):
        raise BadInput("only mappings can be merged")
    return {key: value for body in bodies for key, value in body.items()}


def _joined(bodies: Sequence[Any]) -> Any:
    for kind in (str, bytes):
        if bodies and all(isinstance(body, kind) for body in bodies):
            return kind().join(bodies)
    if not all(isinstance(body, list | tuple) for body in bodies):
        raise BadInput("only texts, only bytes or only lists can be joined")
    return [item for body in bodies for item in body]
