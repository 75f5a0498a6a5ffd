"""A task as a value, and everything that may happen to it. No clock, no store: `now` is passed in.

Whatever happens too late changes nothing: a task that has come to an end stays as it is, and what a run has to say
counts only while the task is that run's (`run`). Source: MCP tasks extension (SEP-2663), mcp.md §6.8.
"""

import enum
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, UnsetType
from msgspec.structs import replace

from holdfast.mcp.jsonrpc import JSON
from holdfast.mcp.protocol import INTERNAL_ERROR

MOST_TRIES: Final = 3  # of a task that may be run again when its worker has died


class Status(enum.StrEnum):
    """Where a task stands; the last three are for good."""

    WORKING = "working"
    INPUT_REQUIRED = "input_required"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether nothing more happens."""
        return self in (Status.COMPLETED, Status.FAILED, Status.CANCELLED)


class Call(msgspec.Struct, frozen=True):
    """What is needed to run the tool again at any worker: the call, and what the client said about itself (JSON)."""

    tool: str
    params: bytes
    version: str
    client: bytes = b"null"
    capabilities: bytes = b"{}"


class Question(msgspec.Struct, frozen=True):
    """A request that the tool wants answered: the key it chose, and the request as JSON."""

    key: str
    request: bytes


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One task. `run` names the run that works on it; empty while nobody does."""

    call: Call
    updated_at: float
    poll: float = 1.0  # seconds a client should leave between two looks
    status: Status = Status.WORKING
    run: str = ""
    tries: int = 0  # how often this round was begun
    round: int = 0  # how often input was asked for
    message: str = ""
    result: bytes = b""
    error: bytes = b""
    questions: dict[str, Question] = {}  # by the keys that clients see, which are never used twice
    answers: dict[str, bytes] = {}  # by the keys the tool chose
    state: str | None = None  # the tool's, for its next round

    @property
    def ready(self) -> bool:
        """Whether it waits for a worker: nobody runs it, and nothing is asked of the client."""
        return self._is_of("")

    def _now(self, now: float, **changed: Any) -> "Task":
        return replace(self, updated_at=now, **changed)

    def _is_of(self, run: str) -> bool:
        return self.status is Status.WORKING and self.run == run

    # -- what a run says

    def begun(self, run: str, now: float) -> "Task":
        """Return the task as that of a run, if nobody works on it."""
        return self._now(now, run=run, tries=self.tries + 1) if self._is_of("") else self

    def told(self, run: str, message: str, now: float) -> "Task":
        """Return the task with a message of its run for people to read."""
        return self._now(now, message=message) if self._is_of(run) and message != self.message else self

    def completed(self, run: str, result: bytes, now: float) -> "Task":
        """Return the task with its result."""
        return self._end(now, Status.COMPLETED, result=result) if self._is_of(run) else self

    def failed(self, run: str, error: bytes, now: float) -> "Task":
        """Return the task with the JSON-RPC error it came to."""
        return self._end(now, Status.FAILED, error=error) if self._is_of(run) else self

    def asking(self, run: str, requests: Mapping[str, bytes], state: str | None, now: float) -> "Task":
        """Return the task waiting for input; with nothing to ask for, ready to be taken up again."""
        if not self._is_of(run):
            return self
        number = self.round + 1
        questions = {f"{key}.{number}": Question(key, request) for key, request in requests.items()}
        status = Status.INPUT_REQUIRED if questions else Status.WORKING
        fresh: dict[str, Any] = {"run": "", "tries": 0, "answers": {}}
        return self._now(now, status=status, questions=questions, state=state, round=number, **fresh)

    def lost(self, run: str, now: float, *, again: bool) -> "Task":
        """Return the task whose run has stopped without a word: free to be taken up if `again`, else failed."""
        if not self._is_of(run):
            return self
        if again and self.tries < MOST_TRIES:
            return self._now(now, run="")
        tried = f" for the {MOST_TRIES}rd time" if again else "; whether it was carried out is not known"
        return self._end(now, Status.FAILED, error=error_of(f"the server that ran the task went away{tried}"))

    # -- what a client says

    def answered(self, answers: Mapping[str, bytes], now: float) -> "Task":
        """Return the task with what was answered; ready to be taken up once nothing is open. Others are ignored."""
        if self.status is not Status.INPUT_REQUIRED or self.questions.keys().isdisjoint(answers):
            return self
        given = {q.key: answers[shown] for shown, q in self.questions.items() if shown in answers}
        still = {shown: q for shown, q in self.questions.items() if shown not in answers}
        status = Status.INPUT_REQUIRED if still else Status.WORKING
        return self._now(now, status=status, questions=still, answers={**self.answers, **given})

    def cancelled(self, now: float) -> "Task":
        """Return the task as cancelled, unless it has come to an end already."""
        return self if self.status.final else self._end(now, Status.CANCELLED)

    def _end(self, now: float, status: Status, **changed: Any) -> "Task":
        empty: dict[str, Any] = {"questions": {}, "answers": {}, "state": None, "run": ""}
        return self._now(now, status=status, **empty, **changed)

    # -- what runs it, and what clients see

    def params(self) -> Raw:
        """Return the params of the next round: the client's own, with what was answered and the tool's state."""
        params = msgspec.json.decode(self.call.params, type=dict[str, Raw])
        params.pop("inputResponses", None)
        params.pop("requestState", None)
        if self.answers:
            params["inputResponses"] = Raw(JSON.encode({key: Raw(answer) for key, answer in self.answers.items()}))
        if self.state is not None:
            params["requestState"] = Raw(JSON.encode(self.state))
        return Raw(JSON.encode(params))


class Outcome(msgspec.Struct, frozen=True):
    """What matters of a tool's result here."""

    type: str | UnsetType = msgspec.field(default=UNSET, name="resultType")
    requests: dict[str, Raw] = msgspec.field(default_factory=dict, name="inputRequests")
    state: str | None = msgspec.field(default=None, name="requestState")

    @property
    def asks(self) -> bool:
        """Whether the tool wants input first."""
        return self.type == "input_required"


def error_of(message: str, number: int = INTERNAL_ERROR) -> bytes:
    """Return a JSON-RPC error as JSON."""
    return JSON.encode({"code": number, "message": message})
