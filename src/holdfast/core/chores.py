"""What the engine does for a manager in time, whoever calls: leases, uses of running calls, what an outage left undone.

None of them ever raises.
"""

from contextlib import suppress
from functools import partial

from holdfast.core.holding import Held, Running
from holdfast.core.manager import Manager
from holdfast.core.missed import Use
from holdfast.core.model import Ref
from holdfast.core.together import together
from holdfast.errors import StoreUnavailable


async def renew_held(manager: Manager) -> None:
    """Renew every lease held here, the most urgent first; a holder whose lease is lost is cancelled.

    Whose lease cannot be renewed is cancelled by its own deadline.
    """
    await together(Held.renew, sorted(manager.held, key=lambda held: held.deadline))


async def touch_running(manager: Manager) -> None:
    """Record the use of every session in which a call runs; what could not be recorded is `missed`.

    A session that has run out, or whose end this worker was not told of, is noticed here: its calls are cancelled.
    """
    running = {call for calls in manager.calls.values() for call in calls if not call.watched}
    for call in running:
        call.mind_the_end()
    one_each = {call.session.key: call for call in sorted(running, key=lambda call: call.counts)}
    await together(partial(_touch_call, manager), one_each.values())


async def catch_up(manager: Manager) -> None:
    """Do what an outage of the store has left undone: give leases back, record uses.

    It stops at the first sign that the store is not back.
    """
    with suppress(StoreUnavailable):
        for held in list(manager.leaving):  # first: somebody waits for them
            if not await held.give_back():
                return
            manager.leaving.discard(held)
        for use in manager.missed.uses():
            await manager.missed.write(use, manager.store.sessions)


async def _touch_call(manager: Manager, call: Running) -> None:
    session = call.session
    try:
        if not await _touch_there(manager, session.ref, counts=call.counts):
            manager.cancel_calls(session.key)
    except StoreUnavailable:
        after = manager.touch_after_of(session.record) if call.counts else None
        if after is not None:
            manager.missed.add(Use(session.ref, None), now=manager.clock(), touch_after=after)


async def _touch_there(manager: Manager, ref: Ref, *, counts: bool) -> bool:
    """Record the use of a node in whichever tree it is, also if it moves meanwhile; return whether it is live."""
    tree = b""
    while (stored := await manager.current(ref)) is not None and stored.tree != tree:
        if await manager.touch(stored, busy=True, counts=counts):
            return True
        tree = stored.tree
    return False
