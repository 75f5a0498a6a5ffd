"""The kind of node that a sticky session is: what its end means, and how long it lasts (O9, S6).

It hangs below the logon of its client, if there is one. Whatever ends it (time, a crash, an administrator, the end of
the logon), its closer lets the handlers discard every entity that it still holds, so that no lock of theirs stays.
"""

from collections.abc import Sequence
from typing import Final

from holdfast.core.duty import Duty
from holdfast.core.kinds import Clocks, Kind, Limits
from holdfast.core.manager import Manager
from holdfast.core.model import Policy, Reason, Record
from holdfast.core.policy import expires_at
from holdfast.odata.server.buffer import SERVICE, Buffer
from holdfast.odata.server.context import Calling, called_by
from holdfast.odata.server.service import Service

STICKY: Final = "sticky"
TIMEOUT_S: Final = 900.0  # as ABAP's is usually configured
TOUCH_S: Final = 30.0
ABSOLUTE_S: Final = 43_200.0


def sticky_kind(services: Sequence[Service], *, timeout: float = TIMEOUT_S) -> Kind:
    """Return the kind of the sticky sessions of these services.

    `timeout` is what clients are told, in seconds. A session lasts a little longer: uses are not written every time.
    """
    by_name = {service.name: service for service in services}
    touch = min(TOUCH_S, timeout / 10)

    async def close(duty: Duty) -> None:
        buffer = Buffer.load(duty.session.content)
        calling = Calling(duty.session.owner)
        calling.enter(duty.session)
        with called_by(calling):
            failure = await discard_all(by_name.get(str(duty.session.content.get(SERVICE))), buffer)
        duty.session.content = {**duty.session.content, **buffer.dump()}
        duty.held.put(duty.session)
        if failure is not None:
            raise failure

    return Kind(
        name=STICKY,
        closer=close,
        upkeep=_end_in_time,
        outside=True,
        clocks=Clocks(idle=timeout + touch, absolute=ABSOLUTE_S, touch_interval=touch),
        limits=Limits(per_client=1000, policy=Policy.REJECT),
    )


async def _end_in_time(duty: Duty) -> float | None:
    """End a session as soon as its time is up: what its handlers hold is not to wait for a sweep."""
    record = duty.session.record
    if expires_at(record) > duty.now:
        return expires_at(record)
    await duty.manager.end(record.ref, Reason.IDLE)
    return None


async def discard_all(service: Service | None, buffer: Buffer) -> Exception | None:
    """Let the handlers discard what a session holds, and drop it; what no handler is there for has nothing to let go.

    What a handler refuses to discard stays in the buffer, to be tried again; the first such error is returned.
    """
    failure: Exception | None = None
    for name in list(buffer):
        handler = service.sets.get(buffer[name].set) if service else None
        try:
            if handler is not None:
                await handler.call(handler.discard, handler.shape.value(buffer[name].row, stored=True))
        except Exception as exc:  # noqa: BLE001 - the others must be let go all the same
            failure = failure or exc
        else:
            buffer.drop(name)
    return failure


def told_timeout(manager: Manager, record: Record) -> int:
    """Return the seconds of idle time that a session's client is told: whole, and no more than it really has."""
    left = record.ends_at - manager.clock()
    if record.idle is not None:
        left = min(left, record.idle - (manager.rules(STICKY)[0].touch_after or 0.0))
    return max(1, int(left))
