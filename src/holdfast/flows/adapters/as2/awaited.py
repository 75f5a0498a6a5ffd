"""Receipts that come later, by a request of the partner's, to any worker (RFC 4130 §7.2, asynchronous).

What is expected is stored before the message goes out, as a node that is found by the message's id. The first authentic
receipt decides; what comes after it changes nothing. A node that ends without one is told as a warning.
"""

import hashlib
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import anyio
import msgspec

from holdfast.core.duty import Duty
from holdfast.core.kinds import Clocks, Kind
from holdfast.core.manager import Manager
from holdfast.core.model import Reason
from holdfast.core.session import Session
from holdfast.errors import (
    BackendError,
    BadInput,
    Busy,
    NotFound,
    SessionConflict,
    SessionEnded,
    SessionExists,
    SessionNotFound,
    StoreUnavailable,
)
from holdfast.flows.adapters.as2.receipts import Expected, Receipt, authenticate, judge, read
from holdfast.flows.failures import BadReceipt

AWAITED: Final = "as2"
FORGOTTEN: Final = Reason.CLIENT
TOPIC: Final = "as2:receipt"
LOOK_S: Final = 1.0  # how late a receipt may be seen that nobody could tell of
LABEL_CHARS: Final = 60
ENDING_S: Final = 10.0
PAUSE_S: Final = 0.05
log = logging.getLogger("holdfast.flows.as2")


class Awaiting(msgspec.Struct, kw_only=True):
    """What is stored for a message: what is expected, and the receipt once it is there."""

    receiver: str
    expected: Expected
    receipt: Receipt | None = None


class Awaited:
    """The receipt for one message, wherever it arrives."""

    def __init__(self, manager: Manager, message_id: str) -> None:
        self._manager, self._message_id = manager, message_id
        self._alias = hashlib.sha256(f"{AWAITED}\0{message_id}".encode()).digest()

    async def begin(self, receiver: str, expected: Expected, within: float) -> Receipt | None:
        """Expect a receipt for so many seconds; return the one that says that the message was processed before.

        Raises Busy while what was expected before is still being ended.
        """
        content = msgspec.to_builtins(Awaiting(receiver=receiver, expected=expected), builtin_types=(bytes,))
        label = f"{receiver} {self._message_id}"[:LABEL_CHARS]
        with anyio.move_on_after(ENDING_S):
            while True:
                with suppress(SessionExists):
                    clocks = Clocks(absolute=within)
                    await self._manager.open(AWAITED, content, alias=self._alias, label=label, clocks=clocks)
                    return None
                with suppress(SessionNotFound, SessionConflict, SessionEnded):
                    return await self._again(expected, content)
                await anyio.sleep(PAUSE_S)
        raise Busy(f"what was expected for {self._message_id} before is still being ended")

    async def _again(self, expected: Expected, content: dict[str, object]) -> Receipt | None:
        session, there = await self._stored()
        with suppress(BackendError):  # a receipt for another content, or that refuses
            if there.receipt is not None:
                judge(expected, there.receipt)
                return there.receipt
        session.content = content
        await self._manager.save(session)
        return None

    async def forget(self) -> None:
        """Expect nothing any more: the message was not sent. A store that is away is left alone."""
        with suppress(SessionNotFound, StoreUnavailable):
            session, _ = await self._stored()
            await self._manager.end(session, FORGOTTEN)

    async def take(self, receipt: Receipt) -> Awaiting:
        """Store an authentic receipt, unless there is one; return what is stored.

        Raises:
            BadReceipt: It is not the partner's.
            SessionNotFound: None is expected.
        """
        while True:
            session, there = await self._stored()
            authenticate(there.expected, receipt)
            if there.receipt is not None:
                return there
            there.receipt = msgspec.structs.replace(receipt, signed=None)
            session.content = msgspec.to_builtins(there, builtin_types=(bytes,))
            with suppress(SessionConflict):
                await self._manager.save(session)
                await self._manager.store.channel.publish(TOPIC, self._alias)
                return there

    async def wait(self, seconds: float) -> Receipt:
        """Return the receipt once it is there. Raises BadReceipt if that takes longer."""
        with anyio.move_on_after(seconds), suppress(SessionNotFound):
            async with self._manager.store.channel.subscribe(TOPIC) as news:
                while True:
                    _, there = await self._stored()
                    if there.receipt is not None:
                        return there.receipt
                    with anyio.move_on_after(LOOK_S):
                        async for told in news:
                            if told.data == self._alias:
                                break
                        else:  # the store tells nothing any more
                            await anyio.sleep(LOOK_S)
        raise BadReceipt(f"no receipt came within {seconds:g} s")

    async def _stored(self) -> tuple[Session, Awaiting]:
        manager = self._manager
        loaded = await manager.store.sessions.load(self._alias, now=manager.clock())
        if loaded is None:
            raise SessionNotFound(f"no receipt is expected for {self._message_id}")
        session = await manager.get(loaded.record.ref)
        return session, msgspec.convert(session.content, Awaiting)


async def arrived(manager: Manager, headers: Mapping[str, str], body: bytes) -> None:
    """Take a receipt that a partner has sent, and tell in the log what it says.

    Raises:
        BadInput: It is none, or not the partner's.
        NotFound: No receipt is expected for such a message.
    """
    try:
        receipt = read(headers, body)
        stored = await Awaited(manager, receipt.message_id).take(receipt)
    except BadReceipt as exc:
        log.warning("a receipt was refused: %s", exc)
        raise BadInput(str(exc)) from exc
    except SessionNotFound as exc:
        raise NotFound("no receipt is expected for such a message") from exc
    _tell(stored)


def _tell(stored: Awaiting) -> None:
    receipt = stored.receipt
    assert receipt is not None  # noqa: S101 - it was just stored
    try:
        judge(stored.expected, receipt)
        log.info("%s: %s: %s", stored.receiver, receipt.message_id, receipt.disposition)
    except BackendError as exc:
        log.warning("%s: %s: %s", stored.receiver, receipt.message_id, exc)


async def _tell_if_none_came(duty: Duty) -> None:
    there = msgspec.convert(duty.session.content, Awaiting)
    if there.receipt is None and duty.session.record.reason is not FORGOTTEN:
        log.warning("%s: no receipt came for %s", there.receiver, there.expected.message_id)


KIND: Final = Kind(name=AWAITED, closer=_tell_if_none_came, outside=True, clocks=Clocks(absolute=86_400.0))
