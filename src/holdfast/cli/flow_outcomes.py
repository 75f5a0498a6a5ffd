"""What became of messages, as commands print it: the result's body, a line for many, errors with their places."""

import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from holdfast.cli.output import show
from holdfast.core.events import visible
from holdfast.errors import HoldfastError
from holdfast.flows.content import encoded
from holdfast.flows.runtime import Message, StepFailed


class Outcome(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What became of a message."""

    id: str
    outcome: str
    headers: dict[str, Any] = {}
    body: Any = None
    error: dict[str, str] | None = None


async def outcome_of(name: str, process: Callable[[], Awaitable[Message | None]]) -> Outcome:
    """Return what becomes of the message with this id."""
    try:
        result = await process()
    except HoldfastError as exc:
        return Outcome(id=name, outcome="failed", error=_error(exc))
    if result is None:
        return Outcome(id=name, outcome="filtered")
    return Outcome(id=name, outcome="done", headers=result.headers, body=result.body)


class Report:
    """Prints what becomes of `count` messages: as JSON each at once, else a body, or how many had which outcome."""

    def __init__(self, count: int, *, as_json: bool) -> None:
        self.count, self.as_json = count, as_json
        self.outcomes: Counter[str] = Counter()
        self._only: Outcome | None = None
        self._errors: dict[tuple[str, str, str], tuple[int, str]] = {}  # how often, and the last message

    @property
    def failed(self) -> bool:
        """Whether any message has failed."""
        return bool(self.outcomes["failed"])

    def take(self, outcome: Outcome) -> None:
        """Take notice of what became of a message."""
        self.outcomes[outcome.outcome] += 1
        if self.as_json:
            show([_row(outcome)], as_json=True, empty="")
            return
        if outcome.error is not None:
            error = outcome.error["code"], outcome.error["text"], outcome.error["hint"]
            self._errors[error] = self._errors.get(error, (0, ""))[0] + 1, outcome.id
        elif self.count == 1:
            self._only = outcome

    def end(self, seconds: float) -> None:
        """Print what there is to say of all, after so many seconds; each error once, with how often it was.

        Raises BadInput: the only message's body is nothing that could be printed.
        """
        if self._only is not None:
            _print_body(self._only)
        if self.count > 1 and not self.as_json:
            said = ", ".join(f"{number} {outcome}" for outcome, number in sorted(self.outcomes.items()))
            print(f"{self.outcomes.total()} messages in {seconds:.1f} s{': ' if said else ''}{said}")
        for (code, text, hint), (times, message) in self._errors.items():
            often = f" ({times} times)" if times > 1 else ""
            print(f"error: {code}: {visible(text)}{often}", file=sys.stderr)
            print(f"  next: {hint}\n  message: {message}", file=sys.stderr)


def _error(exc: HoldfastError) -> dict[str, str]:
    cause, place = (exc.cause, exc.place) if isinstance(exc, StepFailed) else (exc, "")
    return {"code": cause.code, "text": str(exc), "place": place, "hint": exc.hint}


def _row(outcome: Outcome) -> Mapping[str, Any]:
    try:
        return dict(msgspec.to_builtins(outcome))
    except TypeError:  # a script has put something in that JSON has no form for
        return {"id": outcome.id, "outcome": outcome.outcome, "body": f"a {type(outcome.body).__name__}"}


def _print_body(outcome: Outcome) -> None:
    if outcome.outcome == "filtered":
        print("the message was filtered out", file=sys.stderr)
        return
    content, _ = encoded(Message(body=outcome.body))
    sys.stdout.flush()
    sys.stdout.buffer.write((content or b"") + (b"" if isinstance(outcome.body, bytes) or content is None else b"\n"))
    sys.stdout.buffer.flush()
