"""Whose session a call uses, who authenticates, what a lost session means. Pure: values in, values out.

Rules: F1 to F9, F19. A flow has one setting. A *scope* is what sessions belong to: the deployed flow, one message
(exchange), or a branch of a parallel split of it. A branch shares the sessions that were there when it began, receiver
by receiver; what is born in it, no other branch sees.
"""

import enum
from collections.abc import Iterable
from typing import Final

import msgspec

from holdfast.errors import ConfigurationError
from holdfast.flows.sessions.users import is_named

REFUSED: Final = frozenset({"second_user", "dynamic_user", "shared_state"})  # messages or users would be mixed up
Place = tuple[str, str, bool, str]  # what identifies a cookie: name, domain, whether for that host alone, path


class Reuse(enum.StrEnum):
    """The setting of a flow (F1)."""

    NONE = "none"
    EXCHANGE = "on_exchange"
    FLOW = "on_integration_flow"

    @classmethod
    def named(cls, text: str | None) -> "Reuse":
        """Return the setting with this name; a flow of the old form has none, which means `none` (F11)."""
        try:
            return cls(text or cls.NONE)
        except ValueError:
            known = ", ".join(cls)
            raise ConfigurationError(f"{text!r} is no setting of session re-use; there are {known}") from None


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """A way from a flow to a receiver, as far as sessions are concerned.

    Args:
        stateful: The receiver keeps state in the session: one that is lost fails the exchange (F7).
        reuses: False for adapters whose receivers have no sessions (F5): the setting means nothing to them.
        wants_reuse: The receiver asks that its sessions be re-used: `none` is told as a mistake.
        dynamic_user: The user is computed for each message.
        cookies: Names of the cookies that carry the session; empty: all that the answer to the logon sets.
        always_authenticate: Send the credentials with every call, beside the cookie.
        credentials: Names of the headers that authenticate, in lower case.
        log_off: URL that ends the session with a GET; empty: the receiver lets it run out.
        log_off_soap: Envelope (SOAP 1.1) that is posted there instead.
    """

    name: str
    stateful: bool = False
    reuses: bool = True
    wants_reuse: bool = False
    dynamic_user: bool = False
    cookies: tuple[str, ...] = ()
    always_authenticate: bool = False
    credentials: tuple[str, ...] = ("authorization",)
    log_off: str = ""
    log_off_soap: str = ""


class Opened(msgspec.Struct, frozen=True, array_like=True):
    """A session at a receiver: who opened it, through which channel, and the cookies that carry it.

    `tokens` are those it wants back with changes, by the URL that hands them out; an empty one: it hands none out.
    """

    id: str
    receiver: str
    user: str
    channel: str
    places: list[Place]
    log_off: str = ""
    tokens: dict[str, str] = {}

    def __repr__(self) -> str:
        """Never show a token."""
        return f"<Opened {self.id} {self.user}@{self.receiver} by {self.channel}>"

    log_off_soap: str = ""


class Finding(msgspec.Struct, frozen=True):
    """Something a flow's author should know. Of equal `about`, it is told once per deployment.

    `place` is the file and line that it is about, where one is known.
    """

    code: str
    text: str
    remedy: str
    about: tuple[str, ...] = ()
    place: str = ""

    @property
    def placed(self) -> str:
        """The text, with its place before it."""
        return f"{self.place}: {self.text}" if self.place else self.text

    @property
    def serious(self) -> bool:
        """Whether `strict` refuses the flow for it."""
        return self.code in REFUSED


# -- scopes


class Scope(msgspec.Struct, frozen=True):
    """A message, or a branch of its split. `shared` are the receivers whose sessions are those of the scope above."""

    name: str
    above: "Scope | None" = None
    shared: frozenset[str] = frozenset()


def home(scope: Scope, receiver: str) -> Scope:
    """Return the scope whose session a call to this receiver uses, or opens."""
    while scope.above is not None and receiver in scope.shared:
        scope = scope.above
    return scope


def split(scope: Scope, count: int, opened: Iterable[str], label: str) -> list[Scope]:
    """Return the branches of a parallel split; `opened` are receivers at which the scope itself has a session."""
    shared = scope.shared | frozenset(opened)
    return [Scope(f"{scope.name}/{label}.{number}", scope, shared) for number in range(1, count + 1)]


# -- calls


class Attach(msgspec.Struct, frozen=True):
    """What goes out with a call besides its cookies."""

    credentials: bool
    finding: Finding | None = None


def attach(channel: Channel, session: Opened | None, user: str) -> Attach:
    """Decide for a call that `user` would make; with a session, the user who opened it makes it (F2, F3)."""
    if session is None:
        return Attach(credentials=True)
    finding = None if user == session.user else _other_user(channel, session, user)
    return Attach(channel.always_authenticate, finding)


class Verdict(enum.Enum):
    """What an answer means for the call."""

    DONE = "done"
    REPEAT = "repeat"  # the session is gone and the call was not carried out: once more, with a logon
    LOST = "lost"  # the receiver's state is gone: the exchange fails


def verdict(channel: Channel, *, in_session: bool, refused: bool, replaced: bool, repeated: bool) -> Verdict:
    """Judge an answer (F7).

    Args:
        in_session: The call went out in a session.
        refused: The receiver does not know it (any more), and has carried nothing out.
        replaced: The receiver has put another session in its place by itself.
        repeated: This was the last try.
    """
    if not in_session or not (refused or replaced):
        return Verdict.DONE
    if channel.stateful:
        return Verdict.LOST
    return Verdict.REPEAT if refused and not repeated else Verdict.DONE


GONE_HEADERS: Final = ("sap-err-id", "x-sap-icm-err-id")


def says_gone(status: int, errors: Iterable[str], *, authenticated: bool) -> bool:
    """Say whether an answer refuses the session: 401 to a call without credentials, or SAP's word for it.

    `errors` are the values of `GONE_HEADERS`. A 401 to credentials is about these.
    """
    return (status == 401 and not authenticated) or any(error.upper() == "ICMENOSESSION" for error in errors)


# -- findings

USERS_REMEDY: Final = "Use http_session_reuse: none, or the same user in all channels to this receiver."


def _other_user(channel: Channel, session: Opened, user: str) -> Finding:
    about = (session.channel, channel.name)
    if not (is_named(user) and is_named(session.user)):
        text = (
            f"{channel.name!r} has another token for {session.receiver} than the one with which {session.channel!r} "
            "opened the session that is used; whether it is another user's cannot be seen"
        )
        return Finding("second_token", text, "Make sure that both are tokens of the same user.", about)
    if channel.dynamic_user:
        text = f"the dynamic user of {channel.name!r} is not used: the first one, {session.user!r}, is"
    else:
        first = f"{session.user!r} of {session.channel!r}"
        text = f"{channel.name!r} wants {user!r} at {session.receiver}, where {first} opened the session and is used"
    remedy = "Use http_session_reuse: none, or the same user in all channels to this receiver."
    return Finding("second_user", text, remedy, about)


def no_cookie(channel: Channel, receiver: str) -> Finding:
    """Tell that a receiver keeps no session (F2)."""
    text = f"{receiver} sets no session cookie: every call of {channel.name!r} authenticates"
    return Finding("no_cookie", text, "Switch sessions on at the receiver.", (channel.name, receiver))


def foreign_cookie(channel: Channel, host: str, domain: str) -> Finding:
    """Tell that a cookie can never be sent back (F9)."""
    text = f"a cookie that {host} sets to {channel.name!r} is for {domain}, so it is never sent back"
    return Finding("foreign_cookie", text, f"Map the domains: virtual {host}, internal {domain}.", (host, domain))


def separate_branches(receiver: str, count: int) -> Finding:
    """Tell that branches could not share a session (F8)."""
    text = f"{count} parallel branches opened {count} sessions at {receiver}"
    return Finding("branches", text, f"Call {receiver} once before the split.", (receiver,))


def of_channels(reuse: Reuse, channels: Iterable[Channel]) -> list[Finding]:
    """Return what can be told before anything runs: a setting without effect (F4), or with too much of it."""
    channels = list(channels)
    keeping = [channel for channel in channels if channel.reuses]
    if reuse is Reuse.NONE:
        found = [_not_switched_on(channel) for channel in keeping if channel.wants_reuse]
        return found + [_no_state(channel) for channel in keeping if channel.stateful]
    if channels and not keeping:
        text = f"no adapter of the flow re-uses sessions: {reuse.value} has no effect"
        return [Finding("ignored", text, "Leave the setting out.")]
    found = [_never_reused(channel) for channel in channels if not channel.reuses]
    if reuse is Reuse.FLOW:
        found += [_shared_state(channel) for channel in keeping if channel.stateful]
        found += [_dynamic_user(channel) for channel in keeping if channel.dynamic_user]
    return found


def _no_state(channel: Channel) -> Finding:
    text = f"{channel.name!r} is stateful, but no session is kept: each call finds the state that a first one finds"
    return Finding("no_state", text, "Use http_session_reuse: on_exchange.", (channel.name,))


def _never_reused(channel: Channel) -> Finding:
    text = f"the adapter of {channel.name!r} never re-uses sessions: each of its calls authenticates"
    return Finding("never_reused", text, "Do nothing if that is meant.", (channel.name,))


def _dynamic_user(channel: Channel) -> Finding:
    text = f"the user of {channel.name!r} is computed for each message, but the first message's would be used for all"
    remedy = "Use http_session_reuse: on_exchange or none, or the same user for all messages."
    return Finding("dynamic_user", text, remedy, (channel.name,))


def _not_switched_on(channel: Channel) -> Finding:
    text = f"the receiver of {channel.name!r} wants its sessions to be re-used, and every call opens another one"
    return Finding("reuse_wanted", text, "Use http_session_reuse: on_exchange.", (channel.name,))


def _shared_state(channel: Channel) -> Finding:
    text = f"{channel.name!r} is stateful: messages in parallel would see each other's state"
    return Finding("shared_state", text, "Use http_session_reuse: on_exchange.", (channel.name,))
