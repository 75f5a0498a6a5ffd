"""What definitions of flows are made of: plain values that refuse what they do not know, and what receivers share."""

import re
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

Positive = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
NAME: Final = r"^[A-Za-z_][A-Za-z0-9_-]*$"
FUNCTION: Final = r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"
GATHERING: Final = r"^(join|merge|first|last|[A-Za-z_][\w.]*:[A-Za-z_]\w*)$"
METHOD: Final = r"^[A-Z]+$"
URL: Final = r"^https?://[^/]"
UNKNOWN_KEY: Final = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
PATTERNS: Final = {  # in words
    NAME: "a name of letters, digits, _ and -",
    FUNCTION: "a function, as module:function",
    GATHERING: "join, merge, first, last, or a function as module:function",
    METHOD: "an HTTP method in capitals",
    URL: "an http or https URL",
}
Name = Annotated[str, Meta(pattern=NAME, max_length=100)]
Function = Annotated[str, Meta(pattern=FUNCTION)]
Gathering = Annotated[str, Meta(pattern=GATHERING)]
Method = Annotated[str, Meta(pattern=METHOD)]
Url = Annotated[str, Meta(pattern=URL)]
Keeping = Literal["all", "errors", "none"]
Expr = Annotated[str, Meta(min_length=1, max_length=2000, description="an expression")]


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Part of a flow: an unknown key is an error."""


class Auth(Part, frozen=True, kw_only=True):
    """Who calls: the name of a credential that is kept outside the flow (template)."""

    basic: str = ""
    bearer: str = ""


class Retry(Part, frozen=True, kw_only=True):
    """How a call that is safe to repeat is repeated: `times` more, after `first` seconds, each wait twice as long."""

    times: Annotated[int, Meta(ge=0, le=100)] = 2
    first: Seconds = 0.5
    most: Seconds = 30.0


class Receiver(Part, frozen=True, kw_only=True):
    """What the settings of every receiver have in common, whatever its protocol.

    Args:
        url: Where (template; what is put in is percent-encoded).
        timeout: Seconds until an answer has come completely.
        repeatable: A call may be carried out twice. By default the protocol says so.
        stateful: The receiver keeps state in the session (F7); its calls are repeated only if they never reached it.
        session_cookies: Names of the cookies that carry the session, if not all do.
        log_off: URL that ends the session.
        max_answer: Bytes that an answer may have; a longer one is an error.
    """

    url: Url
    auth: Auth = Auth()
    timeout: Seconds = 60.0
    retry: Retry = Retry()
    repeatable: bool | UnsetType = UNSET
    stateful: bool = False
    session_cookies: tuple[str, ...] = ()
    log_off: str = ""
    max_answer: Positive = 64 * 1024 * 1024


def in_words(error: str) -> str:
    """Return what msgspec says of a value, with patterns in words."""
    for pattern, words in PATTERNS.items():
        error = error.replace(f"`str` matching regex {pattern!r}", words)
    if (unknown := UNKNOWN_KEY.fullmatch(error)) is not None:
        return f"the key {unknown[1]!r} is not known here"
    error = re.sub("^Object ", "this is ", error)
    return f"{error[:1].lower()}{error[1:]}"


class Call(msgspec.Struct, frozen=True):
    """A call of a receiver, with what differs from the receiver's own settings for this call."""

    receiver: str
    changes: dict[str, Any] = {}

    def settings(self, receiver: Receiver) -> Receiver:
        """Return the receiver's settings for this call. Raises msgspec.ValidationError."""
        if not self.changes:
            return receiver
        return msgspec.convert({**msgspec.to_builtins(receiver), **self.changes}, type(receiver))
