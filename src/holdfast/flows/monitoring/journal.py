"""What a worker is at with a flow, written down so that it is found when the worker is killed (F17).

That a message has begun is stored, with the message itself, before its first call or script; all who wait for that are
in one batch. Where many messages are going, a batch waits a moment for more of them, so that few trips to a store that
is elsewhere serve many (as PostgreSQL does with `commit_delay` and `commit_siblings`). What a message has done, and
that it has ended, follows within a quarter of a second: what ended later than that before a kill is taken for not
ended.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import Final

import anyio

from holdfast.core.mistakes import Mistakes
from holdfast.core.session import Session
from holdfast.core.together import STORE_DOWN_S
from holdfast.errors import SessionEnded, StoreUnavailable
from holdfast.flows.message import Message
from holdfast.flows.monitoring.book import Book
from holdfast.flows.monitoring.entries import INFO, Entry, Outcome, Run, kept
from holdfast.flows.monitoring.folding import Batch
from holdfast.flows.monitoring.messagelog import MessageLog
from holdfast.flows.monitoring.recording import Recording
from holdfast.flows.parts import Keeping

LAG_S: Final = 0.25
GATHER_S: Final = 0.001  # that a batch waits for more messages, where at least so many are going:
SIBLINGS: Final = 5
CLOSE_S: Final = 10.0
MOST_WAITING: Final = 10_000  # runs that have ended and wait for a store that is away
log = logging.getLogger("holdfast.flows")


class _Turn:
    """One writing, for those who wait for it. It has failed unless it came to a good end."""

    def __init__(self) -> None:
        self.over = anyio.Event()
        self.failed = True


class Journal:
    """The runs of one flow at this worker.

    Args:
        keeping: Which messages the log has: `all`, those with `errors`, or `none`.
    """

    def __init__(self, messages: MessageLog, flow: str, file: str, keeping: Keeping) -> None:
        self.messages, self._flow, self._file, self._keeping = messages, flow, file, keeping
        self._manager = messages.manager
        self._book = Book(self._manager, flow, file)
        self._numbers = count(1)
        self._open: dict[int, Recording] = {}  # what the book has, or is asked to have
        self._asked: list[Recording] = []
        self._touched: dict[int, Recording] = {}
        self._ended: list[tuple[Recording, Entry]] = []  # not in the log yet
        self._failed = False  # one of them has, and is waited for
        self._gone: list[int] = []  # in the log, and the book does not know it yet
        self._some, self._urgent, self._turn = anyio.Event(), anyio.Event(), _Turn()
        self._told_at = float("-inf")
        self._closed = False

    # -- one run

    def begin(self, message: Message, level: str = INFO, *, known: bool = False, secured: bool = False) -> Recording:
        """Return the recording of a run that begins. `secured` says to secure it whatever messages the log has."""
        body, why = kept(message, self.messages.retention.body_bytes) if self._keeping != "none" else (None, "")
        run = Run(worker=self._manager.worker, began_at=self._manager.clock(), level=level)
        entry = Entry(id=message.id, flow=self._flow, file=self._file, kept=body, not_kept=why, runs=(run,))
        known = secured or (known and self._keeping != "none")
        journal = self if secured or self._keeping == "all" else None
        return Recording(entry, next(self._numbers), journal, known=known)

    async def secure(self, recording: Recording) -> None:
        """Return when a run is in the book. Raises StoreUnavailable."""
        self._ask(recording)
        while not recording.written:
            if not await self._next_turn():
                raise StoreUnavailable("the store is away, and the message was not begun without being noted there")

    def _ask(self, recording: Recording) -> None:
        self._open[recording.number] = recording
        self._asked.append(recording)

    def touched(self, recording: Recording) -> None:
        """Take notice of a new line."""
        if recording.written and recording.number not in self._touched:
            self._touched[recording.number] = recording
            self._some.set()

    async def end(self, recording: Recording, outcome: Outcome, error: BaseException | None = None) -> None:
        """Note the end of a run. One that has failed is in the log when this returns, unless the store is away."""
        if not (self._keeping == "all" or recording.known or (self._keeping == "errors" and outcome == "failed")):
            self.withdraw(recording)
            return
        entry = recording.ended(outcome, self._manager.clock(), error)
        if len(self._ended) >= MOST_WAITING:
            self._give_up(*self._ended.pop(0))
        self._ended.append((recording, entry))
        self._failed |= outcome == "failed"
        self._some.set()
        while isinstance(error, Exception) and not recording.logged and await self._next_turn():
            pass

    def withdraw(self, recording: Recording) -> None:
        """Forget a run: the log has it, or is not to have it."""
        recording.logged = True
        self._touched.pop(recording.number, None)
        if self._open.pop(recording.number, None) is not None and recording.written:
            self._gone.append(recording.number)
            self._some.set()

    # -- writing

    async def run(self) -> None:
        """Write what happens until cancelled."""
        mistakes = Mistakes(f"the journal of flow {self._flow}")
        while True:
            await self._some.wait()
            try:
                async with self._manager.running(await self._opened()):
                    await self._write_on()
            except StoreUnavailable as exc:
                log.warning("flow %s: the log of its messages waits for the store (%s)", self._flow, exc.code)
                await anyio.sleep(STORE_DOWN_S)
            except SessionEnded:
                self._taken_for_dead()
            except Exception as exc:  # noqa: BLE001 - what one turn could not do another one may
                mistakes.note(exc)
                await anyio.sleep(STORE_DOWN_S)

    async def close(self) -> None:
        """Write what is left, after `run` has ended."""
        self._closed = True
        with anyio.move_on_after(CLOSE_S, shield=True):
            await self._write_last()
        for recording, entry in self._ended:
            self._give_up(recording, entry)
        self._turn.over.set()

    async def _write_last(self) -> None:
        while self._some.is_set():
            try:
                await self._write(last=True)
            except SessionEnded:
                self._taken_for_dead()
            except StoreUnavailable:
                await anyio.sleep(STORE_DOWN_S)
        with suppress(StoreUnavailable):  # it ends by itself
            await self._book.end(through=not self._open)

    async def _write_on(self) -> None:
        while True:
            await self._some.wait()
            if not self._urgent.is_set():
                with anyio.move_on_after(LAG_S):
                    await self._urgent.wait()
            if len(self._open) >= SIBLINGS and self._manager.store.shared:
                await anyio.sleep(GATHER_S)
            await self._write()

    async def _opened(self) -> Session:
        turn = self._begin_turn()
        try:
            session = await self._book.opened()
            turn.failed = False
        finally:
            self._end_turn(turn)
        return session

    async def _write(self, *, last: bool = False) -> None:
        """Write what has ended to the log, and to the book what has begun; the rest only if it is due."""
        turn = self._begin_turn()
        try:
            now = anyio.current_time()
            due = last or self._failed or now - self._told_at >= LAG_S
            if due:
                self._told_at = now
                await self._write_log()
            batch, news = self._batch(due=due)
            if batch:
                await self._book.write(batch)
            for recording in news:
                recording.written = True
                if recording.unwritten:  # it went on meanwhile
                    self.touched(recording)
            turn.failed = False
        finally:
            self._end_turn(turn)

    def _batch(self, *, due: bool) -> tuple[Batch, list[Recording]]:
        """Return what to write, and the runs of which nothing was written before; from now on there is other news."""
        asked, self._asked = self._asked, []
        if not (due or self._book.fresh):
            news = [one for one in asked if one.number in self._open]
            return Batch(begun=[(one.number, one.so_far()) for one in news]), news
        touched, gone, self._touched, self._gone = self._touched, self._gone, {}, []
        if self._book.fresh:
            news = list(self._open.values())
            return Batch(True, [(one.number, one.so_far()) for one in news]), news
        news = [one for one in asked if one.number in self._open]
        begun = [(one.number, one.so_far()) for one in news]
        lines = [(number, one.taken()) for number, one in touched.items()]
        counts = [(number, one.counts) for number, one in touched.items()]
        return Batch(False, begun, lines, gone, counts), news

    async def _write_log(self) -> None:
        if not self._ended:
            return
        await self._book.check()
        ended, self._ended, self._failed = self._ended, [], False
        known = {one.begun.id for one, _ in ended if one.known}
        try:
            with anyio.CancelScope(shield=True):  # what was written would be written again
                await self.messages.write([entry for _, entry in ended], known, all_of_them=self._keeping == "all")
        except BaseException:
            self._ended = [*ended, *self._ended]
            raise
        for recording, _ in ended:
            self.withdraw(recording)

    def _taken_for_dead(self) -> None:
        """Begin another book: a keeper has closed this one, and what was going on is in the log as failed."""
        log.warning("flow %s: this worker was taken for dead: its messages are in the log as failed", self._flow)
        self._book.lost()
        for recording in self._open.values():
            recording.known = True
        self._some.set()

    def _give_up(self, recording: Recording, entry: Entry) -> None:
        log.error("flow %s: what became of message %s is not in the log: the store is away", self._flow, entry.id)
        self.withdraw(recording)

    # -- turns

    def _begin_turn(self) -> _Turn:
        turn, self._turn = self._turn, _Turn()
        self._some, self._urgent = anyio.Event(), anyio.Event()
        return turn

    def _end_turn(self, turn: _Turn) -> None:
        """Tell who waits for it that a turn is over. What has failed in it has to be done again."""
        if turn.failed or self._ended or self._asked or self._touched or self._gone:
            self._some.set()
        turn.over.set()

    async def _next_turn(self) -> bool:
        """Wait until a turn is over; False if it has failed, or there is none any more."""
        turn = self._turn
        self._urgent.set()
        self._some.set()
        if not self._closed:
            await turn.over.wait()
        return not (self._closed or turn.failed)


@asynccontextmanager
async def open_journal(
    messages: MessageLog, flow: str, file: str = "", keeping: Keeping = "all"
) -> AsyncIterator[Journal]:
    """Keep a journal while the block lasts; what is in it then is written before this returns, for 10 s at most."""
    made, failure = Journal(messages, flow, file, keeping), None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(made.run)
        try:
            yield made
        except BaseException as exc:  # noqa: BLE001 - raised again below, not wrapped in the group
            failure = exc
        tasks.cancel_scope.cancel()
    await made.close()  # nobody else writes any more
    if failure is not None:
        raise failure
