"""An identity provider as it is configured here: where its metadata are, and how far its word goes."""

from pathlib import Path
from typing import Literal

import msgspec

from holdfast.errors import ConfigurationError
from holdfast.identity.fetching import checked
from holdfast.identity.saml.parties import Signed
from holdfast.identity.saml.people import People


class Partner(msgspec.Struct, frozen=True, kw_only=True):
    """What is agreed with one identity provider.

    Args:
        metadata: Its metadata, or the file they are in, which is read again when it changes, or the address they are
            at, which is asked again: so keys roll over.
        entity_id: Which identity provider of several in the metadata; must be said where they are at an address.
        vouched_by: A certificate (PEM) whose key must have signed the metadata; empty: they need not be signed.
        people: How its assertions are read.
        signed: What has to be: the assertion, the response around it, both, or either.
        fresh: When the person must prove anew who they are (`ForceAuthn`): `never`; `after_end`, if a logon of this
            browser has ended by itself, so that the other side does not undo it silently (R29); or `always`.
        name_format: The kind of `NameID` to ask for; its own choice if empty.
        unsolicited: Log people on as well who begin at the identity provider. Anybody with a logon there can then log
            other people's browsers on as themselves (T10).
        logout: How to tell it that somebody has logged off: `front`, by their browser where it can, or `back`, by SOAP
            where it can.
    """

    metadata: bytes | Path | str
    entity_id: str = ""
    vouched_by: bytes = b""
    people: People = People()
    signed: Signed = "either"
    fresh: Literal["never", "after_end", "always"] = "after_end"
    name_format: str = ""
    unsolicited: bool = False
    logout: Literal["front", "back"] = "front"

    def __post_init__(self) -> None:
        """Raise ConfigurationError for metadata at an address that is not safe, or of whoever answers there."""
        if isinstance(self.metadata, str):
            checked(self.metadata, named="SAML metadata")
            if not self.entity_id:
                raise ConfigurationError("whose SAML metadata are at that address?", hint="Name the entity ID.")
