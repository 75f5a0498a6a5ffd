"""How people and programs log on at an application: by a page, or by credentials that come with each request (S7).

SessionMiddleware(app, security, application="shop", logon=[Form("/account/logon"), Basic(passwords), Token(bearer)])

Credentials make a request their owner's, without a cookie; see `programs`. What asks for a logon names the ways there
are: browsers are sent to the page, programs are answered 401 with a challenge for each scheme.
"""

import binascii
import hashlib
import secrets
from base64 import b64decode
from collections.abc import Callable, Collection, Sequence
from typing import Final, Protocol

import msgspec

from holdfast._asgi import Scope, header
from holdfast.core.events import Event, Fact
from holdfast.core.session import Session
from holdfast.core.turns import Turns
from holdfast.errors import BadInput, HoldfastError
from holdfast.identity.facts import Identity, InsufficientScope, InvalidToken, TokenMissing
from holdfast.identity.people import Person
from holdfast.identity.remembered import Remembered
from holdfast.web import csrf
from holdfast.web.bearer import Bearer
from holdfast.web.cookies import on_this_machine
from holdfast.web.kinds import HTTP
from holdfast.web.passwords import PasswordLogon, WrongPassword, logon_of_person
from holdfast.web.programs import Below, Programs
from holdfast.web.reply import Header
from holdfast.web.returns import local_path
from holdfast.web.security import DEVICE_CHARACTERS, Logon
from holdfast.web.visit import Visit

AUTHORIZATION: Final = b"authorization"
BASIC: Final[Header] = (b"www-authenticate", b'Basic realm="holdfast", charset="UTF-8"')
REMEMBERED_S: Final = 300.0
UNAUTHORIZED: Final = 401


class TwoLogons(BadInput):
    """A request says in two ways whose it is, and they are not the same (R11)."""

    code = "two_logons"
    default_hint = "Send the cookie or the credentials, and these once."


class Form(msgspec.Struct, frozen=True):
    """A page of this site where people log on: a form, or what sends them to a provider.

    Args:
        path: Where it is; it is given `next`, and leads back there.
    """

    path: str

    def __post_init__(self) -> None:
        """Raise BadInput if it is no path of this site."""
        local_path(self.path)


class Credentials(Protocol):
    """A scheme of HTTP authentication."""

    @property
    def scheme(self) -> bytes:
        """What stands before the credentials in `Authorization`, in lower case."""
        ...

    @property
    def ambient(self) -> bool:
        """Whether browsers send such credentials by themselves, for pages of other sites as well."""
        ...

    async def logon(self, visit: Visit, authorization: bytes) -> tuple[Logon, Below | None]:
        """Return whose the credentials are, and what gives the logon they belong to, if that is not one of their own.

        Raises:
            HoldfastError: Nobody's; or nobody can say.
        """
        ...

    def challenge(self, error: HoldfastError) -> Header:
        """Return what tells a program to send such credentials."""
        ...


class Basic:
    """Name and password with each request (RFC 7617): for programs, and over TLS or on this machine alone.

    A password that was right is not looked at again for five minutes, while it is the person's.

    Args:
        passwords: Checks them.
    """

    scheme: Final = b"basic"
    ambient: Final = True

    def __init__(self, passwords: PasswordLogon) -> None:
        self._passwords = passwords
        self._secret = secrets.token_hex(32)  # what is remembered of passwords is of use to this process alone
        self._turns = Turns()
        self._right: Remembered[tuple[Person, float]] = Remembered()

    async def logon(self, visit: Visit, authorization: bytes) -> tuple[Logon, Below | None]:
        """Return whose name and password these are."""
        if visit.site.proxies.scheme_of(visit.scope) not in ("https", "wss") and not on_this_machine(visit.scope):
            raise BadInput("a password came over plain HTTP", hint="Use https://, and change the password.")
        try:
            name, password = _name_and_password(authorization)
        except WrongPassword as exc:
            visit.services.logon_failed(visit.address, f"basic: {exc.code}")
            raise
        key = hashlib.sha256(f"{self._secret}{len(name)} {name}{password}".encode("utf-8", "replace")).hexdigest()
        async with self._turns.take(key):  # of a program's requests at the same time one does the work
            return await self._checked(visit, name, password, key), None

    async def _checked(self, visit: Visit, name: str, password: str, key: str) -> Logon:
        now, method = visit.services.manager.clock(), self.scheme.decode()
        person, until = self._right.of(key) or (None, 0.0)
        if person is not None and now < until and await self._passwords.known(name) == person:
            return logon_of_person(person, method=method, at=now, address=visit.address)
        logon = await self._passwords.logon(visit.services, name, password, address=visit.address, method=method)
        fresh = await self._passwords.known(name)
        if fresh is not None:
            self._right.keep(key, (fresh, now + REMEMBERED_S))
        return logon

    def challenge(self, error: HoldfastError) -> Header:
        """Return the header that asks for name and password."""
        return BASIC


class Token:
    """A bearer token with each request (RFC 6750), such as a JWT: what it begins belongs to its person's logon (S6).

    Args:
        bearer: Verifies tokens.
        roles: What a token's owner is, by what the token says; nothing if left out.
    """

    scheme: Final = b"bearer"
    ambient: Final = False

    def __init__(self, bearer: Bearer, *, roles: Callable[[Identity], Collection[str]] = lambda identity: ()) -> None:
        self._bearer, self._roles = bearer, roles

    async def logon(self, visit: Visit, authorization: bytes) -> tuple[Logon, Below | None]:
        """Return whose token this is."""
        services = visit.services
        try:
            identity = await self._bearer.identity_of(authorization)
        except (InvalidToken, InsufficientScope) as exc:
            services.logon_failed(visit.address, f"bearer: {exc.code}")
            raise
        logon = Logon(
            issuer=identity.issuer,
            subject=identity.subject,
            method="bearer",
            at=identity.authenticated_at or services.manager.clock(),
            scopes=tuple(sorted(identity.scopes)),
            roles=tuple(sorted(self._roles(identity))),
            sid=str(identity.claims.get("sid") or ""),
        )
        if not (identity.issuer and identity.subject):
            return logon, None

        async def below() -> Session:
            security = await services.logons.of_bearer(identity)
            if security is None:
                raise InvalidToken("the token is nobody's")
            return security

        return logon, below

    def challenge(self, error: HoldfastError) -> Header:
        """Return the header that asks for a token, and says what was wrong with the last one."""
        denied = error if isinstance(error, InvalidToken | InsufficientScope) else TokenMissing(str(error))
        return self._bearer.challenge(denied)


class Ways:
    """The ways to log on at one application.

    Args:
        ways: Pages and schemes; of pages the first counts.
    """

    def __init__(self, ways: Sequence[Form | Credentials] = ()) -> None:
        self.page = next((way.path for way in ways if isinstance(way, Form)), "")
        self._schemes = {way.scheme: way for way in ways if not isinstance(way, Form)}
        self.takes_any = bool(self._schemes)

    async def enter(self, visit: Visit, app: str) -> bool:
        """Make a request that of whose credentials it has brought; False if it has brought none.

        Raises:
            TwoLogons: It has brought credentials twice, or a cookie of somebody else's.
            CrossSite: A page of another site has made a browser send them.
            HoldfastError: The credentials are nobody's.
        """
        given = [value for name, value in visit.scope["headers"] if name == AUTHORIZATION]
        way = self._schemes.get(given[0].partition(b" ")[0].lower()) if given else None
        if way is None:
            return False
        if len(given) > 1:
            raise _two(visit, "the header Authorization came twice")
        logon, below = await way.logon(visit, given[0])
        if visit.logon is not None:
            if visit.logon.principal != logon.principal:
                raise _two(visit, "the cookie and the credentials are two people's")
            return False
        if way.ambient and csrf.comes_from_here(visit.scope, visit.site.proxies) is False and _changes(visit.scope):
            raise csrf.CrossSite("the request comes from another site")
        known = msgspec.structs.replace(logon, address=logon.address or visit.address, device=_device(visit.scope))
        visit.stand_for(known, await Programs(visit.services.manager).session(known, app, below))
        return True

    def challenges(self, scope: Scope, error: HoldfastError) -> list[Header]:
        """Return what a refused request is told to bring; a browser that has a page to log on at is not asked."""
        if error.status != UNAUTHORIZED and not isinstance(error, InsufficientScope):
            return []
        asked = bool(self.page) and any(name == b"sec-fetch-mode" for name, _ in scope["headers"])
        return [way.challenge(error) for way in self._schemes.values() if not (way.ambient and asked)]


def _name_and_password(authorization: bytes) -> tuple[str, str]:
    """Return what RFC 7617 §2 packs into one word; raise WrongPassword if it is none."""
    try:
        text = b64decode(authorization.partition(b" ")[2].strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise WrongPassword("that is no name and password") from None
    name, _, password = text.partition(":")
    return name, password


def _changes(scope: Scope) -> bool:
    return scope["type"] == "websocket" or scope["method"] not in csrf.SAFE


def _device(scope: Scope) -> str:
    return header(scope, b"user-agent").decode("latin-1")[:DEVICE_CHARACTERS]


def _two(visit: Visit, words: str) -> TwoLogons:
    manager, address = visit.services.manager, visit.address
    manager.sink.emit(
        Event(fact=Fact.TWO_IDS, at=manager.clock(), kind=HTTP, client=address, address=address, detail=words)
    )
    return TwoLogons(words)
