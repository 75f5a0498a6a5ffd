"""The one thing an identity part asks of the network, handed to it as a callable; and what it demands of addresses."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Final, Protocol
from urllib.parse import SplitResult, urlsplit

import anyio

from holdfast.errors import ConfigurationError
from holdfast.identity.facts import IssuerUnavailable

LOCALHOST: Final = "localhost"


class Fetch(Protocol):
    """Sends one request to an issuer."""

    async def __call__(
        self,
        url: str,
        *,
        limit: int,
        form: Mapping[str, str] | None = None,
        login: tuple[str, str] | None = None,
        bearer: str = "",
    ) -> bytes:
        """Return the body of the answer, which is a 200 and no longer than `limit` bytes.

        Redirects are not followed. Args:
            form: Sent by POST; left out, it is a GET.
            login: Name and secret, sent as Basic authentication (RFC 6749 §2.3.1).
            bearer: An access token (RFC 6750 §2.1).

        Raises:
            IssuerRefused: The answer is a 4xx.
            IssuerUnavailable: There is no such answer.
        """
        ...


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Give an issuer so long to answer all that is asked in the block; raise IssuerUnavailable if it takes longer."""
    try:
        with anyio.fail_after(seconds):
            yield
    except TimeoutError:
        raise IssuerUnavailable(f"the issuer does not answer within {seconds:g} s") from None


def is_safe(url: str) -> bool:
    """Say whether keys may come from an address: over TLS, or from this machine."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return bool(parts.hostname) and (parts.scheme == "https" or (parts.scheme == "http" and _is_local(parts)))


def checked(url: str, *, named: str) -> str:
    """Return an address of the configuration; raise ConfigurationError if keys may not come from there."""
    if not is_safe(url):
        raise ConfigurationError(f"{named}: {url!r} is no https:// address, nor one of this machine")
    return url


def offered(url: object, *, named: str) -> str:
    """Return an address that an issuer has told; raise IssuerUnavailable if keys may not come from there."""
    if not isinstance(url, str) or not is_safe(url):
        raise IssuerUnavailable(f"the issuer names no {named} with an https:// address")
    return url


def _is_local(parts: SplitResult) -> bool:
    host = parts.hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == LOCALHOST
