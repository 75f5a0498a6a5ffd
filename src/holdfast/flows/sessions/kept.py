"""What is kept of a scope, sealed in its node: cookies, and which sessions they carry. Changes are pure steps.

A step is applied to what is stored at that moment, however many calls of other workers came in between. So an answer
takes effect only if the session it was given in is still the one there: two parallel logons leave one session, and the
late word of a dead session deletes no living one.
"""

import secrets
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from holdfast.backend.cookies import Cookie
from holdfast.flows.sessions.cookies import RFC6265BIS, CookieJar, CookiePolicy, DomainMapping
from holdfast.flows.sessions.scopes import Channel, Opened, Place

MOST_SESSIONS: Final = 100
MOST_TOKENS: Final = 20


class Content(msgspec.Struct):
    """The plain form. `silent` are receivers that set no cookie, `lost` those whose state is gone."""

    jar: list[Cookie] = []
    opened: list[Opened] = []
    silent: list[str] = []
    lost: list[str] = []
    salt: bytes = b""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came back of one call. `using` is the id of the session it went out in, if any; `sent` are its cookies."""

    url: str
    receiver: str
    channel: Channel
    user: str
    using: str
    refused: bool
    status: int
    lines: tuple[str, ...]
    sent: tuple[Cookie, ...] = ()

    @property
    def says_nothing(self) -> bool:
        """True for an answer in a session that goes on as it is: nothing has to be read or written."""
        return bool(self.using) and not self.refused and not self.lines


class Effect(msgspec.Struct):
    """What an answer changed."""

    changed: bool = False
    opened: bool = False
    replaced: bool = False  # a session's cookie got another value
    silent: bool = False  # for the first time seen to keep no session


class Going(NamedTuple):
    """The session a call goes out in, if any, and the cookies that go with it."""

    session: Opened | None
    cookies: list[Cookie]


class Sessions:
    """The sessions of one scope, in use."""

    def __init__(
        self, content: Content, *, policy: CookiePolicy = RFC6265BIS, mappings: Iterable[DomainMapping] = ()
    ) -> None:
        self.salt = content.salt or secrets.token_bytes(16)
        self.jar = CookieJar(content.jar, policy=policy, mappings=mappings)
        self.opened, self.silent, self.lost = list(content.opened), set(content.silent), set(content.lost)

    @classmethod
    def load(cls, content: Mapping[str, Any], **rules: Any) -> "Sessions":
        """Return what `dump` gave this content for."""
        return cls(msgspec.convert(content, Content), **rules)

    def dump(self) -> dict[str, Any]:
        """Return the content of a node."""
        jar = msgspec.convert(self.jar.dump(), list[Cookie])
        plain = Content(jar, self.opened[-MOST_SESSIONS:], sorted(self.silent), sorted(self.lost), self.salt)
        values: dict[str, Any] = msgspec.to_builtins(plain, builtin_types=(bytes,))
        return values

    def receivers(self) -> frozenset[str]:
        """Return the receivers at which there is a session."""
        return frozenset(session.receiver for session in self.opened)

    def going(self, url: str, receiver: str, *, now: float) -> Going:
        """Return what a call goes out with. Its session is one whose cookies all go with it, and some are left.

        Another port is another server, even though cookies do not know.
        """
        cookies = self.jar.belonging(url, now=now)
        places, port = {cookie.place for cookie in cookies}, _port(receiver)
        for session in reversed(self.opened):
            left = {place for place in session.places if self.jar.holds(place)}
            if left and left <= places and _port(session.receiver) == port:
                return Going(session, cookies)
        return Going(None, cookies)

    def take(self, answer: Answer, *, now: float) -> Effect:
        """Let an answer take effect: its cookies, whatever its status (RFC 6265bis §5.7), and what follows."""
        if answer.says_nothing or not self._speaks(answer, now):
            return Effect()
        before = self.dump()
        session = self._by_id(answer.using)
        values = self._values(session)
        if session is not None and answer.refused:
            self._forget(session)
        taken = self.jar.take(answer.url, answer.lines, now=now)
        effect = Effect(replaced=session is not None and self._replaced(session, values))
        if session is None and answer.status != 401:
            self._begin(answer, taken, effect)
        self._prune()
        effect.changed = self.dump() != before
        return effect

    def keep_token(self, session: Opened, service: str, token: str) -> None:
        """Keep with a session the token that it wants back with changes at a service; the oldest of too many goes."""
        newest = [(url, each) for url, each in session.tokens.items() if url != service][1 - MOST_TOKENS :]
        kept = msgspec.structs.replace(session, tokens={**dict(newest), service: token})
        self.opened = [kept if one.id == session.id else one for one in self.opened]

    def drop(self, session_id: str) -> Effect:
        """Forget a session that its receiver does not know (any more), if it is there."""
        session = self._by_id(session_id)
        if session is not None:
            self._forget(session)
            self._prune()
        return Effect(changed=session is not None)

    def lose(self, receiver: str) -> None:
        """Note that a receiver's state is gone: no call of this scope goes on there."""
        self.lost.add(receiver)

    def _speaks(self, answer: Answer, now: float) -> bool:
        """Say whether the answer still concerns this scope: what refuses cookies says nothing of newer ones."""
        if answer.using:
            session = self._by_id(answer.using)
            return session is not None and not (answer.refused and self._renewed(session, answer.sent))
        return self.going(answer.url, answer.receiver, now=now).session is None

    def _by_id(self, session_id: str) -> Opened | None:
        return next((one for one in self.opened if one.id == session_id), None)

    def _renewed(self, session: Opened, sent: Iterable[Cookie]) -> bool:
        """Say whether the receiver has given another value to one of these cookies meanwhile."""
        values = self._values(session)
        return any(values.get(cookie.place, cookie.value) != cookie.value for cookie in sent)

    def _begin(self, answer: Answer, taken: list[Cookie], effect: Effect) -> None:
        channel = answer.channel
        set_here = [cookie.place for cookie in taken if self.jar.holds(cookie.place)]
        places: list[Place] = [place for place in set_here if not channel.cookies or place[0] in channel.cookies]
        if places:
            self.opened = [one for one in self.opened if not set(one.places) & set(places)]
            begun = Opened(
                id=secrets.token_hex(8),
                receiver=answer.receiver,
                user=answer.user,
                channel=channel.name,
                places=places,
                log_off=channel.log_off,
                log_off_soap=channel.log_off_soap,
            )
            self.opened.append(begun)
            self.silent.discard(answer.receiver)
            effect.opened = True
        elif answer.receiver not in self.receivers() and answer.receiver not in self.silent:
            self.silent.add(answer.receiver)
            effect.silent = True

    def _forget(self, session: Opened) -> None:
        for place in session.places:
            self.jar.forget(place)

    def _prune(self) -> None:
        self.opened = [one for one in self.opened if any(self.jar.holds(place) for place in one.places)]

    def _values(self, session: Opened | None) -> dict[Place, str]:
        held = ((place, self.jar.holds(place)) for place in (session.places if session else ()))
        return {place: cookie.value for place, cookie in held if cookie is not None}

    def _replaced(self, session: Opened, before: Mapping[Place, str]) -> bool:
        """Say whether the receiver gave another value to a cookie of the session, or deleted it."""
        return self._values(session) != before


def _port(receiver: str) -> str:
    return receiver.rpartition(":")[2]
