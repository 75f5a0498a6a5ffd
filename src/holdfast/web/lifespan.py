"""The lifespan of an application and of what is put around it, as one: opened after it, closed after it.

An application that knows no lifespan (Django raises, others return at once) gets one all the same: what is around it is
opened and closed by itself.
"""

from collections.abc import Awaitable, Callable

from holdfast._asgi import ASGIApp, Message, Receive, Scope, Send

Do = Callable[[], Awaitable[object]]


async def live(app: ASGIApp, scope: Scope, receive: Receive, send: Send, *, open: Do, close: Do) -> None:  # noqa: A002
    """Serve an ASGI lifespan: `open` when the application has started, `close` when it has ended, however it did.

    Raises what the application raises; what `open` raises, after the server has been told that the start has failed.
    """
    begun = failed = False

    async def hear() -> Message:
        nonlocal begun
        begun = True
        return await receive()

    async def say(message: Message) -> None:
        nonlocal begun, failed
        begun = True
        if message["type"] == "lifespan.startup.complete":
            try:
                await open()
            except Exception as exc:
                failed = True
                await send({"type": "lifespan.startup.failed", "message": str(exc)})
                raise
        if not failed:  # the application may tell of the same failure once more
            await send(message)

    try:
        try:
            await app(scope, hear, say)
        except Exception:
            if begun:
                raise
        if not begun:
            await receive()
            await say({"type": "lifespan.startup.complete"})
            await receive()
            await close()
            await send({"type": "lifespan.shutdown.complete"})
    finally:
        await close()
