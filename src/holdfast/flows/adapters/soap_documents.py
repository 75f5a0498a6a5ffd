"""Where a WSDL and what it imports come from: its own folder or its own host, nowhere else; and how much may come."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import anyio.from_thread
import httpx2

from holdfast.errors import ConfigurationError

MOST_BYTES: Final = 32 * 1024 * 1024  # of a WSDL and all that it imports
MOST_DOCUMENTS: Final = 200
WEB: Final = ("http://", "https://")


class Documents:
    """Hands zeep a WSDL and what it imports: from the WSDL's own folder, or from its own host.

    Used in a worker thread; what is on a host is fetched in the event loop, and ends with the task that waits for it.
    """

    def __init__(self, location: str, headers: Mapping[str, str], client: httpx2.AsyncClient) -> None:
        self._location, self._headers, self._client = location, headers, client
        self._remote = location.startswith(WEB)
        self._bytes = self._documents = 0

    def load(self, location: str) -> bytes:
        """Return a document. Raises ConfigurationError: it is elsewhere, too much, or cannot be read."""
        if not self._near(location):
            raise ConfigurationError(
                f"{self._location} imports {location}, which is elsewhere",
                hint="Put what the WSDL imports beside it, and change `schemaLocation` or `location` there.",
            )
        content = anyio.from_thread.run(self._fetched, location) if self._remote else self._read(location)
        self._documents += 1
        self._bytes += len(content)
        if self._documents > MOST_DOCUMENTS or self._bytes > MOST_BYTES:
            raise _too_much(self._location)
        return content

    def _near(self, location: str) -> bool:
        if location.startswith(WEB) != self._remote:
            return False
        if self._remote:
            return same_host(location, self._location)
        return Path(location).resolve().is_relative_to(Path(self._location).resolve().parent)

    def _read(self, location: str) -> bytes:
        try:
            with Path(location).open("rb") as file:
                return file.read(MOST_BYTES + 1)
        except OSError as exc:
            raise ConfigurationError(f"{location} cannot be read ({type(exc).__name__})") from exc

    async def _fetched(self, location: str) -> bytes:
        try:
            async with self._client.stream("GET", location, headers=dict(self._headers)) as response:
                if response.status_code != 200:
                    raise ConfigurationError(f"{location} cannot be loaded: it answered {response.status_code}")
                content = bytearray()
                async for part in response.aiter_bytes():
                    content += part
                    if len(content) > MOST_BYTES:
                        raise _too_much(location)
                return bytes(content)
        except (httpx2.TransportError, httpx2.DecodingError, httpx2.InvalidURL) as exc:
            raise ConfigurationError(f"{location} cannot be loaded ({type(exc).__name__})") from exc


def same_host(one: str, other: str) -> bool:
    """Say whether two URLs are of the same scheme, host and port; a path, or what is no URL, is of none."""
    try:
        first, second = httpx2.URL(one), httpx2.URL(other)
    except httpx2.InvalidURL:
        return False
    return bool(first.host) and (first.scheme, first.netloc) == (second.scheme, second.netloc)


def _too_much(location: str) -> ConfigurationError:
    return ConfigurationError(
        f"{location} and what it imports are more than {MOST_BYTES:,} bytes or {MOST_DOCUMENTS} documents"
    )
