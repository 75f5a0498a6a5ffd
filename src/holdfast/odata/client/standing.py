"""Where a client stands, and what an answer makes of it: the choreography's table read from the client's side. Pure.

The table says what should follow; headers say what has followed, and headers win. Three rules keep a session from being
lost without a word, as the best-known client loses it (O16): an id begins only with the answer to a New or Edit; the
absence of the id means something only if the request had carried it; and an error without the id is a question to ask
the server, not the end.
"""

import enum
from typing import Final

import msgspec

from holdfast.odata.choreography import OUTSIDE, Act, Next, Outcome, Place, decide

STARTS: Final = (Act.NEW, Act.EDIT)


class Standing(msgspec.Struct, frozen=True):
    """What a client knows of its session. Instants are in Unix seconds.

    Args:
        place: In a session or not, and what is unsaved in it.
        context_id: The id that the server gave, empty outside.
        timeout: Seconds of idleness after which the server ends the session; None if it has not said.
        answered_at: When the last request was sent whose answer proved the session alive.
        sure: False after a request without an answer: the session may have ended with it.
    """

    place: Place = OUTSIDE
    context_id: str = ""
    timeout: float | None = None
    answered_at: float = 0.0
    sure: bool = True

    def __repr__(self) -> str:
        """The id is a secret."""
        return f"<Standing {'inside' if self.place.inside else 'outside'} {sorted(self.place.unsaved)}>"


class Sent(msgspec.Struct, frozen=True):
    """A request: what it asked for, of which entity, under which id, and when it was sent."""

    act: Act
    entity: str
    context_id: str
    at: float


class Seen(msgspec.Struct, frozen=True):
    """What an answer says about the session. `gone`: the server does not know the id (ICMENOSESSION)."""

    outcome: Outcome
    context_id: str = ""
    timeout: float | None = None
    gone: bool = False


class Verdict(enum.Enum):
    """What has become of the session."""

    NOTHING_NEW = "nothing new"
    STARTED = "started"
    ENDED = "ended"  # as the choreography ends it
    LOST = "lost"  # with something unsaved in it
    ASK = "ask"  # the answer does not tell


class Judgement(msgspec.Struct, frozen=True):
    """Where one stands now, and what has become of the session; of a loss also why, and what was unsaved."""

    standing: Standing
    verdict: Verdict = Verdict.NOTHING_NEW
    why: str = ""
    unsaved: frozenset[str] = frozenset()


NOWHERE: Final = Standing()
GONE: Final = "the server does not know it any more"
REPLACED: Final = "the server has put another session in its place"
DROPPED: Final = "the server has ended it with an answer that has no session id"


def judge(standing: Standing, sent: Sent, seen: Seen, *, asked: bool = False) -> Judgement:
    """Return what an answer makes of where one stands; `asked`: it is the one to the question whether it lives.

    A good answer without the id ends a session in which nothing is unsaved any more. If something is, the server has
    ended it out of turn, or somebody on the way has taken the header off: that too is a question.
    """
    then = decide(standing.place, sent.act, seen.outcome, sent.entity)
    if not sent.context_id:
        return _answer_from_outside(standing, sent, seen, then)
    if sent.context_id != standing.context_id:
        return Judgement(standing)  # of a session that is over
    if seen.gone or seen.context_id not in ("", standing.context_id):
        before = decide(standing.place, sent.act, Outcome.FAILED, sent.entity)  # nothing was executed in it
        return over(before.place, REPLACED if seen.context_id else GONE)
    if seen.context_id:
        return Judgement(_alive(standing, sent, seen, then))
    if seen.outcome is Outcome.FAILED:
        return Judgement(standing, Verdict.ASK)
    if then.place.unsaved and not asked:
        return Judgement(msgspec.structs.replace(standing, place=then.place), Verdict.ASK)
    return over(then.place, DROPPED)


def over(last: Place, why: str) -> Judgement:
    """Return the end of a session: a loss if something was unsaved in it at last."""
    if not last.unsaved:
        return Judgement(NOWHERE, Verdict.ENDED)
    return Judgement(NOWHERE, Verdict.LOST, why, last.unsaved)


def unanswered(standing: Standing, sent: Sent) -> Judgement:
    """Return where one stands after a request that may have arrived and has no answer."""
    if not sent.context_id or sent.context_id != standing.context_id:
        return Judgement(standing)
    return Judgement(msgspec.structs.replace(standing, sure=False), Verdict.ASK)


def _answer_from_outside(standing: Standing, sent: Sent, seen: Seen, then: Next) -> Judgement:
    """A request without an id starts a session or says nothing, however late its answer comes."""
    if not (then.starts and sent.act in STARTS and seen.context_id):
        return Judgement(standing)
    return Judgement(_alive(NOWHERE, sent, seen, then), Verdict.STARTED)


def _alive(standing: Standing, sent: Sent, seen: Seen, then: Next) -> Standing:
    """The server says the session goes on: one is inside, also if nothing is unsaved any more.

    After a discard nothing was discarded then, as far as one can know.
    """
    unsaved = standing.place.unsaved if sent.act is Act.DISCARD else then.place.unsaved
    return Standing(
        place=Place(inside=True, unsaved=unsaved),
        context_id=seen.context_id,
        timeout=standing.timeout if seen.timeout is None else seen.timeout,
        answered_at=max(standing.answered_at, sent.at),
    )
