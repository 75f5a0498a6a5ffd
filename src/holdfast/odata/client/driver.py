"""The driver of one client's sticky session: sends, judges what comes back, keeps alive, gives up, lets go.

One request of a session is on its way at a time, in the order of the calls, as the server serves them. What only reads
and carries no id runs beside them.
"""

import logging
from collections.abc import Callable, Iterator
from typing import Final

import anyio
import msgspec

from holdfast.backend.wire import AnswerLost, Call, Reply
from holdfast.errors import BackendError, BackendUnavailable, HoldfastError, SessionEnded
from holdfast.odata.choreography import Act, ChoreographyError, Outcome, check
from holdfast.odata.client.errors import Loss, StickySessionLost
from holdfast.odata.client.line import Line, seen_in
from holdfast.odata.client.schedule import Due, Duty, next_due
from holdfast.odata.client.standing import NOWHERE, STARTS, Judgement, Sent, Standing, Verdict, judge, unanswered

OnLoss = Callable[[Loss], None]
Named = str | Callable[[Reply], str]

log: Final = logging.getLogger("holdfast.odata.client")
CLOSE_S: Final = 15.0  # how long closing may take
NOT_USED: Final = "it was not used for {:.0f} s and has been discarded"
LEFT: Final = "it could not be ended at the server"


class Closed(msgspec.Struct, frozen=True):
    """How a client has let go of its session.

    `how` is "nothing" (there was none), "discarded", "terminated" or "left": then the server could not be told, and
    lets the locks go at `locked_until` (Unix seconds) at the latest; None if it has never said after how long.
    """

    how: str
    locked_until: float | None = None


class Driver:
    """The sessions of one client, one after the other.

    Args:
        line: What sends.
        discard: Returns the request that discards.
        look: Returns the request that reads an entity of this name.
        on_loss: Called once for each session that is lost; it returns at once and raises nothing.
        cap: Seconds without use after which a session is discarded; None for never.
        clock: Gives Unix seconds.
    """

    def __init__(
        self,
        line: Line,
        *,
        discard: Callable[[], Call],
        look: Callable[[str], Call],
        on_loss: OnLoss,
        cap: float | None,
        clock: Callable[[], float],
    ) -> None:
        self.standing = NOWHERE
        self.loss: Loss | None = None  # of the session before, if it was lost and none has started since
        self._line, self._discard, self._look = line, discard, look
        self._on_loss, self._cap, self._clock = on_loss, cap, clock
        self._turn, self._started = anyio.Lock(), anyio.Event()
        self._mute = False  # True: this service's answers to HEAD do not tell of sessions
        self._used_at = self._tried_at = self._heard_at = 0.0
        self._closed = False

    @property
    def inside(self) -> bool:
        """Whether a session is open."""
        return self.standing.place.inside

    # -- requests of the program

    async def step(self, act: Act, entity: Named, call: Call, *, within: bool = False) -> Reply:
        """Send one request when it is its turn and return the answer, whatever its status.

        Args:
            act: What it is in the choreography.
            entity: Which entity it is about, or what names it after the answer.
            call: The request.
            within: It may be sent inside of a session only.

        Raises:
            ChoreographyError: This is not its place; nothing was sent.
            StickySessionLost: The session is gone; if it was before, nothing was sent.
            BackendUnavailable, AnswerLost: As `Line.send`. After AnswerLost the server was asked about the session.
        """
        async with self._turn:
            self._allow(act, entity, within)
            if not self.standing.sure:
                await self._ask(Act.OTHER)
                self._allow(act, entity, within)
            if act in STARTS and self.inside and not self.standing.place.unsaved:
                await self._let_go()  # a session that should be over: the server has not said so
            self._used_at = self._clock()
            reply = await self._send(act, entity, call)
            self._used_at = self._clock()
        return reply

    async def look(self, call: Call, *, within: bool = True) -> Reply:
        """Send a request that reads: in turn inside of a session, beside everything else outside or not `within`."""
        if self.inside and within:
            return await self.step(Act.OTHER, "", call)
        self._check_open()
        return await self._line.send(call, "")

    def _check_open(self) -> None:
        if self._closed:
            raise SessionEnded("the client is closed", hint="Open a new client.")

    def _allow(self, act: Act, entity: Named, within: bool) -> None:
        self._check_open()
        if self.loss is not None and (within or act in (Act.SAVE, Act.DISCARD)):
            raise StickySessionLost(self.loss)
        check(self.standing.place, act, entity if isinstance(entity, str) else "")
        if within and not self.inside:
            raise ChoreographyError(f"a change of {entity} outside of a sticky session")

    async def _send(self, act: Act, entity: Named, call: Call, *, shield: bool = True) -> Reply:
        context_id, at = self.standing.context_id, self._clock()
        try:
            reply = await self._line.send(call, context_id, shield=shield)
        except AnswerLost as exc:
            self._heard_at = self._clock()
            if act in STARTS and not context_id:
                hint = "The service may have begun a session that nobody knows, and hold its locks until it times out."
                raise AnswerLost(str(exc), hint=hint) from exc
            await self._follow(unanswered(self.standing, Sent(act, "", context_id, at)), act, shield)
            raise
        seen = seen_in(reply)
        sent = Sent(act, entity if isinstance(entity, str) else entity(reply), context_id, at)
        self._heard_at = self._clock()
        verdict = await self._follow(judge(self.standing, sent, seen), act, shield)
        done = act is Act.SAVE and seen.outcome is Outcome.OK  # its own entity is saved, whatever was lost beside it
        if verdict is Verdict.LOST and self.loss is not None and not done:
            raise StickySessionLost(self.loss)
        return reply

    # -- sessions that outlive the client

    async def leave(self) -> Standing:
        """Stop here, and leave the session to whoever takes it up."""
        async with self._turn:
            self._check_open()
            standing, self.standing, self._closed = self.standing, NOWHERE, True
        return standing

    def take_up(self, standing: Standing) -> None:
        """Go on where another client has left. The next step asks the server whether the session lives."""
        self._check_open()
        if self.inside:
            raise ChoreographyError("one client has one session")
        self.standing, self.loss = msgspec.structs.replace(standing, sure=False), None
        self._used_at = self._clock()
        self._started.set()

    # -- what follows from an answer

    async def _follow(self, judgement: Judgement, act: Act, shield: bool) -> Verdict:
        """Stand where an answer has put us; if it did not tell, ask, and return what the server says then."""
        self.standing = judgement.standing
        if judgement.verdict is Verdict.ASK:
            return await self._ask(act, shield=shield)
        if judgement.verdict is Verdict.STARTED:
            self.loss = None
            self._started.set()
        if judgement.verdict is Verdict.LOST:
            self._tell(Loss(why=judgement.why, unsaved=tuple(sorted(judgement.unsaved)), at=self._clock()))
        return judgement.verdict

    def _tell(self, loss: Loss) -> None:
        self.loss = loss
        log.warning("sticky session lost: %s", loss.why)
        self._on_loss(loss)

    async def _ask(self, act: Act, *, shield: bool = True) -> Verdict:
        """Ask the server whether the session is alive: by HEAD, and where that does not tell, by reading an entity.

        `act` is what was not told of: a discard that finds its session gone has lost nothing. A server that cannot be
        asked leaves us unsure.
        """
        meant = Act.DISCARD if act is Act.DISCARD else Act.OTHER
        for question in self._questions():
            sent = Sent(meant, "", self.standing.context_id, self._clock())
            try:
                reply = await self._put(question, shield)
            except BackendUnavailable:
                break
            seen = seen_in(reply)
            self._heard_at = self._clock()
            if question is None and not (seen.context_id or seen.gone):
                self._mute = self._mute or seen.outcome is Outcome.OK
                continue
            judgement = judge(self.standing, sent, seen, asked=True)
            if judgement.verdict is not Verdict.ASK:
                return await self._follow(judgement, meant, shield)
        self.standing = msgspec.structs.replace(self.standing, sure=False)
        return Verdict.ASK

    def _questions(self) -> Iterator[Call | None]:
        """Yield what to ask with; None is the HEAD request to the root."""
        if not self._mute:
            yield None
        yield from [self._look(entity) for entity in sorted(self.standing.place.unsaved)][:1]

    async def _put(self, question: Call | None, shield: bool) -> Reply:
        if question is None:
            return await self._line.touch(self.standing.context_id, shield=shield)
        return await self._line.send(question, self.standing.context_id, shield=shield)

    # -- a session that nobody uses

    async def attend(self) -> None:
        """Keep every session alive as long as it may live, until cancelled."""
        while True:
            self._started = started = anyio.Event()
            due = await self.tend()
            with anyio.move_on_after(None if due is None else max(due - self._clock(), 0.0)):
                await started.wait()

    async def tend(self) -> float | None:
        """Do what is due for the open session. Return when there will be something to do, None outside of sessions."""
        async with self._turn:
            due = self._due()
            if due is not None and due.at <= self._clock():
                await self._do(due.duty)
                due = self._due()
        return None if due is None else due.at

    def _due(self) -> Due | None:
        if not self.inside:
            return None
        return next_due(self.standing, used_at=self._used_at, tried_at=self._tried_at, cap=self._cap)

    async def _do(self, duty: Duty) -> None:
        if duty is Duty.TOUCH:
            self._tried_at = self._clock()
            await self._ask(Act.OTHER)
            return
        unsaved = tuple(sorted(self.standing.place.unsaved))
        closed = await self._let_go()
        why = LEFT if closed.how == "left" else NOT_USED.format(self._clock() - self._used_at)
        self._give_up(why, unsaved, closed)

    # -- the end

    async def close(self) -> Closed:
        """End the session that is open, if one is; nothing can be sent afterwards. It takes 15 seconds at most."""
        unsaved = tuple(sorted(self.standing.place.unsaved))
        closed = Closed("left")
        with anyio.move_on_after(CLOSE_S, shield=True):
            async with self._turn:
                closed = await self._let_go() if self.inside else Closed("nothing")
        if self.inside:  # no time was left, and what was sent may have arrived
            self._heard_at = self._clock()
            closed, self.standing = self._left(), NOWHERE
        self._closed = True
        if closed.how == "left":
            self._give_up(LEFT, unsaved, closed)
        return closed

    def _give_up(self, why: str, unsaved: tuple[str, ...], closed: Closed) -> None:
        self._tell(Loss(why=why, unsaved=unsaved, at=self._clock(), locked_until=closed.locked_until, given_up=True))

    async def _let_go(self) -> Closed:
        """Discard, and if that ends nothing terminate; both may be cut off, as they may be repeated."""
        try:
            await self._send(Act.DISCARD, "", self._discard(), shield=False)
        except HoldfastError as exc:
            log.info("a sticky session could not be discarded: %s", type(exc).__name__)
        return await self._terminate() if self.inside else Closed("discarded")

    async def _terminate(self) -> Closed:
        try:
            seen = seen_in(await self._line.touch(self.standing.context_id, terminate=True, shield=False))
            ended = seen.gone or (seen.outcome is Outcome.OK and not seen.context_id and not self._mute)
            self._heard_at = self._clock()
        except AnswerLost:
            ended, self._heard_at = False, self._clock()
        except BackendError:
            ended = False
        closed = Closed("terminated") if ended else self._left()
        self.standing = NOWHERE
        return closed

    def _left(self) -> Closed:
        timeout = self.standing.timeout
        return Closed("left", None if timeout is None else self._heard_at + timeout)
