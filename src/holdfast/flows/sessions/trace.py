"""Which cookies travelled with a call, for whoever looks into re-use: names and hashes, never values (F10).

The hash is keyed with a secret of the scope, so equal hashes mean the same cookie there, at every worker, and nobody
can guess a value from one.
"""

import hashlib
import hmac
import logging
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

import msgspec

HASH_DIGITS: Final = 12
WIRE_LOGS: Final = ("httpcore2.http11", "httpcore2.http2")
SECRET: Final = ("set-cookie", "x-csrf-token")
SET: Final = re.compile(
    rf"""(\(b['"](?:{"|".join(SECRET)})['"], b)('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""", re.IGNORECASE
)
log = logging.getLogger("holdfast.flows.cookies")

Shown = tuple[str, str]  # a cookie's name and the hash of its value


class Traced(msgspec.Struct, frozen=True):
    """One call: what was sent, what came back."""

    flow: str
    channel: str
    method: str
    url: str  # without its query
    status: int
    sent: tuple[Shown, ...]
    set: tuple[Shown, ...]


Tracer = Callable[[Traced], None]
_RECORDER: Final[ContextVar[Tracer | None]] = ContextVar("recorder", default=None)


def shown(pairs: Iterable[tuple[str, str]], salt: bytes) -> tuple[Shown, ...]:
    """Return cookies as they may be shown."""
    return tuple((name, digest_of(value, salt)) for name, value in pairs)


def digest_of(value: str, salt: bytes) -> str:
    """Return the hash by which a value is known again, and by nobody guessed."""
    return hmac.digest(salt, value.encode("latin-1"), hashlib.sha256).hex()[:HASH_DIGITS]


def pair_of(line: str) -> tuple[str, str]:
    """Return name and value of a Set-Cookie line."""
    name, equals, value = line.partition(";")[0].partition("=")
    return (name.strip(), value.strip()) if equals else ("", name.strip())


def tracer(given: Tracer | None) -> Tracer | None:
    """Return whom to tell of a call: the tracer that was given, else the log, and who records the message it is for.

    None if nobody wants to know: then nothing is computed either.
    """
    told, recorder = given or debug_log(), _RECORDER.get()
    if told is None or recorder is None:
        return told or recorder

    def both(traced: Traced) -> None:
        told(traced)
        recorder(traced)

    return both


@contextmanager
def recorded(recorder: Tracer | None) -> Iterator[None]:
    """Tell a recorder of the calls that are made in this block, and by the tasks that it starts."""
    token = _RECORDER.set(recorder)
    try:
        yield
    finally:
        _RECORDER.reset(token)


def debug_log() -> Tracer | None:
    """Return what writes to the log, None while it takes nothing at DEBUG: then nothing is computed either."""
    return _write if log.isEnabledFor(logging.DEBUG) else None


def _write(traced: Traced) -> None:
    log.debug(
        "flow %s, %s: %s %s answered %d; sent %s; set %s",
        traced.flow,
        traced.channel,
        traced.method,
        traced.url,
        traced.status,
        _text(traced.sent),
        _text(traced.set),
    )


def _text(cookies: Iterable[Shown]) -> str:
    return ", ".join(f"{name} #{digest}" for name, digest in cookies) or "no cookie"


def hide_values() -> None:
    """Keep what the HTTP library logs of answers at DEBUG free of the values of cookies and CSRF tokens."""
    for name in WIRE_LOGS:
        logging.getLogger(name).addFilter(_without_values)  # once, however often it is added


def _without_values(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    if any(name in message.lower() for name in SECRET):
        record.msg, record.args = SET.sub(r"\1'…'", message), ()
    return True
