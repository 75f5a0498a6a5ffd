"""An identity provider as it is configured here: where its metadata are, and how far its word goes."""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec
from cryptography import x509

from holdfast.errors import ConfigurationError
from holdfast.identity.saml.metadata import read_metadata
from holdfast.identity.saml.parties import IdentityProvider, Signed
from holdfast.identity.saml.people import People
from holdfast.identity.saml.refusals import SamlRefused, SamlUnavailable, SamlWrongIssuer

logger = logging.getLogger(__name__)


class Partner(msgspec.Struct, frozen=True, kw_only=True):
    """What is agreed with one identity provider.

    Args:
        metadata: Its metadata, or the file they are in, which is read again when it changes: so keys roll over.
        entity_id: Which identity provider of several in the metadata.
        vouched_by: A certificate (PEM) whose key must have signed the metadata; empty: they need not be signed.
        people: How its assertions are read.
        signed: What has to be: the assertion, the response around it, both, or either.
        fresh: When the person must prove anew who they are (`ForceAuthn`): `never`; `after_end`, if a logon of this
            browser has ended by itself, so that the other side does not undo it silently (R29); or `always`.
        name_format: The kind of `NameID` to ask for; its own choice if empty.
        logout: How to tell it that somebody has logged off: `front`, by their browser where it can, or `back`, by SOAP
            where it can.
    """

    metadata: bytes | Path
    entity_id: str = ""
    vouched_by: bytes = b""
    people: People = People()
    signed: Signed = "either"
    fresh: Literal["never", "after_end", "always"] = "after_end"
    name_format: str = ""
    logout: Literal["front", "back"] = "front"


class Metadata:
    """The metadata of a partner, as they are now."""

    def __init__(self, partner: Partner, clock: Callable[[], float]) -> None:
        self.partner, self._clock = partner, clock
        self._read: IdentityProvider | None = None
        self._seen: tuple[int, int] | None = None

    def current(self) -> IdentityProvider:
        """Return the identity provider. A file that has become worse is not taken; what was read before goes on.

        Raises:
            SamlUnavailable: Its metadata cannot be taken, or have expired.
        """
        now, known = self._clock(), self._read
        try:
            if known is None or self._has_changed():
                known = self._read = self._fresh(now)
        except (SamlRefused, OSError) as exc:
            reason = exc.code if isinstance(exc, SamlRefused) else type(exc).__name__
            if known is None:
                raise SamlUnavailable(f"the identity provider's metadata cannot be taken: {reason}") from None
            logger.warning("new metadata of %s are not taken: %s", known.entity_id, reason)
        if known.valid_until is not None and known.valid_until <= now:
            raise SamlUnavailable("the identity provider's metadata have expired")
        return known

    def _has_changed(self) -> bool:
        return isinstance(self.partner.metadata, Path) and self._mark(self.partner.metadata) != self._seen

    def _fresh(self, now: float) -> IdentityProvider:
        partner = self.partner
        data = partner.metadata
        if isinstance(data, Path):
            self._seen = self._mark(data)
            data = data.read_bytes()
        wanted = partner.entity_id if self._read is None else self._read.entity_id  # it does not become another one
        return read_metadata(data, now=now, entity_id=wanted, vouched_by=_certificates(partner))

    @staticmethod
    def _mark(path: Path) -> tuple[int, int]:
        found = os.stat(path)
        return found.st_mtime_ns, found.st_size


class Partners:
    """All identity providers, the first being the one that is asked if nobody says which.

    Raises:
        ConfigurationError: There is none, or the metadata of one cannot be taken.
    """

    def __init__(self, partners: tuple[Partner, ...], clock: Callable[[], float]) -> None:
        try:
            found = [(each.current().entity_id, each) for each in (Metadata(partner, clock) for partner in partners)]
        except SamlUnavailable as exc:
            raise ConfigurationError(str(exc)) from None
        self._named = dict(found)
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


def _certificates(partner: Partner) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(partner.vouched_by) if partner.vouched_by else []
