"""The identity providers as they are now: what their metadata say, read again when that is needed (R45, R48)."""

import logging
import os
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Concatenate, Final, ParamSpec, TypeVar

import anyio.to_thread
from cryptography import x509

from holdfast.errors import ConfigurationError
from holdfast.identity.facts import IssuerUnavailable
from holdfast.identity.saml.bindings import Received
from holdfast.identity.saml.metadata import read_metadata
from holdfast.identity.saml.parties import IdentityProvider
from holdfast.identity.saml.refusals import SamlBadSignature, SamlRefused, SamlUnavailable, SamlWrongIssuer
from holdfast.identity.source import Source
from holdfast.web.saml.gate import Gate
from holdfast.web.saml.partner import Partner

logger = logging.getLogger(__name__)

LIFETIME_S: Final = 3600.0  # after which an address is asked again
PAUSE_S: Final = 60.0  # between two requests at least, whatever comes in
STALE_S: Final = 24 * 3600.0  # for which metadata go on while the address does not answer, if they are valid so long
TIMEOUT_S: Final = 5.0
Get = Callable[[str], Awaitable[bytes]]
"""Returns the metadata at an address, within their bounds; raises IssuerUnavailable if there are none."""
P = ParamSpec("P")
T = TypeVar("T")


class Stored:
    """Metadata that are here: in memory, or in a file that is read again when it changes."""

    def __init__(self, partner: Partner, held: bytes | Path, clock: Callable[[], float]) -> None:
        self._partner, self._held, self._clock = partner, held, clock
        self._read: IdentityProvider | None = None
        self._seen: tuple[int, int] | None = None

    async def current(self) -> IdentityProvider:
        """Return the identity provider; raise SamlUnavailable as `read` does."""
        return self.read()

    async def after(self, known: IdentityProvider) -> IdentityProvider:
        """Return what is newer: nothing, as a file is looked at each time."""
        return known

    def read(self) -> IdentityProvider:
        """Return the identity provider. A file that has become worse is not taken; what was read before goes on.

        Raises:
            SamlUnavailable: They cannot be taken.
        """
        known = self._read
        try:
            if known is None or self._has_changed():
                known = self._read = self._fresh()
        except (SamlRefused, OSError) as exc:
            reason = exc.code if isinstance(exc, SamlRefused) else type(exc).__name__
            if known is None:
                raise SamlUnavailable(f"the identity provider's metadata cannot be taken: {reason}") from None
            logger.warning("new metadata of %s are not taken: %s", known.entity_id, reason)
        return known

    def _has_changed(self) -> bool:
        return isinstance(self._held, Path) and _mark(self._held) != self._seen

    def _fresh(self) -> IdentityProvider:
        data = self._held
        if isinstance(data, Path):
            self._seen = _mark(data)
            data = data.read_bytes()
        wanted = self._partner.entity_id if self._read is None else self._read.entity_id  # it becomes no other one
        return read_metadata(data, now=self._clock(), entity_id=wanted, vouched_by=_certificates(self._partner))


class Published:
    """Metadata at an address, which is asked when they are needed first, and then as seldom as may be."""

    def __init__(
        self, partner: Partner, url: str, clock: Callable[[], float], get: Get, monotonic: Callable[[], float]
    ) -> None:
        self._partner, self._url, self._clock, self._get = partner, url, clock, get
        self._source = Source(
            self._load,
            f"SAML metadata of {partner.entity_id}",
            clock=monotonic,
            lifetime=LIFETIME_S,
            pause=PAUSE_S,
            stale=STALE_S,
            timeout=TIMEOUT_S,
        )

    async def current(self) -> IdentityProvider:
        """Return the identity provider; raise SamlUnavailable if its metadata cannot be had, or are too old."""
        return await self._from(self._source.current())

    async def after(self, known: IdentityProvider) -> IdentityProvider:
        """Return what is newer, if it is not too soon to ask; raise SamlUnavailable if it was asked for in vain."""
        return await self._from(self._source.after(known))

    async def _from(self, asking: Awaitable[IdentityProvider]) -> IdentityProvider:
        try:
            return await asking
        except IssuerUnavailable:
            raise SamlUnavailable("the identity provider's metadata cannot be had") from None

    async def _load(self) -> IdentityProvider:
        data, partner = await self._get(self._url), self._partner
        read = partial(read_metadata, now=self._clock(), entity_id=partner.entity_id, vouched_by=_certificates(partner))
        try:
            return await anyio.to_thread.run_sync(read, data)
        except SamlRefused as exc:
            raise IssuerUnavailable(exc.code) from None


class Metadata:
    """The metadata of a partner, as they are now.

    Args:
        clock: Unix seconds.
        get: Asks for those at an address.
        monotonic: Seconds, monotonic.

    Raises:
        SamlUnavailable: They are here, and cannot be taken or have expired.
    """

    def __init__(
        self, partner: Partner, clock: Callable[[], float], get: Get, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.partner, self._clock = partner, clock
        self._kept: Stored | Published
        if isinstance(partner.metadata, str):
            self._kept, self.entity_id = Published(partner, partner.metadata, clock, get, monotonic), partner.entity_id
        else:
            self._kept = stored = Stored(partner, partner.metadata, clock)
            self.entity_id = self._valid(stored.read()).entity_id

    async def current(self) -> IdentityProvider:
        """Return the identity provider; what has expired is asked for anew.

        Raises:
            SamlUnavailable: Its metadata cannot be had, or have expired.
        """
        known = await self._kept.current()
        return self._valid(known if self._is_valid(known) else await self._kept.after(known))

    async def judged(
        self,
        gate: Gate,
        read: Callable[Concatenate[Received, IdentityProvider, P], T],
        received: Received,
        *args: P.args,
        **named: P.kwargs,
    ) -> T:
        """Return what `read` makes of a message, by newer metadata if its key is not in those that are known.

        Raises:
            SamlRefused: It is not to be believed.
            SamlUnavailable: The metadata cannot be had, or have expired; or too many messages wait already.
        """
        known = await self.current()
        try:
            return await gate.run(read, received, known, *args, **named)
        except SamlBadSignature:
            newer = await self._kept.after(known)
            if newer is known:
                raise
            return await gate.run(read, received, self._valid(newer), *args, **named)

    def _is_valid(self, known: IdentityProvider) -> bool:
        return known.valid_until is None or known.valid_until > self._clock()

    def _valid(self, known: IdentityProvider) -> IdentityProvider:
        if not self._is_valid(known):
            raise SamlUnavailable("the identity provider's metadata have expired")
        return known


class Partners:
    """All identity providers, the first being the one that is asked if nobody says which.

    Raises:
        ConfigurationError: There is none, or the metadata of one cannot be taken.
    """

    def __init__(
        self,
        partners: tuple[Partner, ...],
        clock: Callable[[], float],
        get: Get,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        try:
            found = [Metadata(partner, clock, get, monotonic) for partner in partners]
        except SamlUnavailable as exc:
            raise ConfigurationError(str(exc)) from None
        self._named = {each.entity_id: each for each in found}
        if not found or len(self._named) != len(found):
            raise ConfigurationError("there is no SAML identity provider, or one is there twice")

    def __contains__(self, entity_id: str) -> bool:
        """Say whether there is one with a name."""
        return entity_id in self._named

    def first(self) -> Metadata:
        """Return the one that is asked if nobody says which."""
        return next(iter(self._named.values()))

    def named(self, entity_id: str) -> Metadata:
        """Return the one with a name; raise SamlWrongIssuer if there is none."""
        if entity_id not in self._named:
            raise SamlWrongIssuer("the identity provider is not known here")
        return self._named[entity_id]


def _mark(path: Path) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_mtime_ns, found.st_size


def _certificates(partner: Partner) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(partner.vouched_by) if partner.vouched_by else []
