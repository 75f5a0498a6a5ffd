"""Services that a WSDL describes, by zeep: values become an envelope's content, and an answer's content values.

zeep reads and writes and never sends: the documents of a WSDL come through `Documents`, and calls go through the
channel's own client. It is an extra, `holdfast[soap]`; this module is imported only where a receiver has a `wsdl`.
"""

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, cast

import anyio
import anyio.from_thread
import anyio.to_thread
import httpx2
import msgspec
from zeep import Settings
from zeep.exceptions import Error as ZeepError
from zeep.exceptions import XMLParseError
from zeep.wsdl import Document
from zeep.wsdl.bindings import Soap11Binding, Soap12Binding
from zeep.xsd.types import simple
from zeep.xsd.valueobjects import CompoundValue

from holdfast.errors import BackendError, BadInput, ConfigurationError, HoldfastError
from holdfast.flows.adapters.envelope import Element, Envelope, Version, opened, written
from holdfast.flows.adapters.soap_sending import WEB

VERSIONS: Final[Mapping[type, Version]] = {Soap11Binding: "1.1", Soap12Binding: "1.2"}
MOST_BYTES: Final = 32 * 1024 * 1024  # of a WSDL and all that it imports
MOST_DOCUMENTS: Final = 200
SHOWN_CHARS: Final = 200


class Operation:
    """An operation of a service; `receiver` is what errors call its other side.

    Zeep needs a second for some hundred kilobytes: both ways are for a worker thread.
    """

    def __init__(self, found: Any, receiver: str) -> None:
        self.name, self.action = str(found.name), str(found.soapaction or "")
        self.answers = found.output is not None
        self._found, self._receiver = found, receiver

    def content(self, values: Mapping[str, Any]) -> Envelope:
        """Return what stands in an envelope with these values, those of `_soapheaders` in its header.

        Raises BadInput: they do not fit.
        """
        try:
            return opened(self._found.create(**values).content)
        except Exception as exc:
            raise BadInput(f"the body does not fit the operation {self.name!r}: {_told(exc)}") from exc

    def values(self, envelope: Envelope) -> Any:
        """Return what an answer says: mappings, lists, texts, numbers, instants. Raises BackendError: it does not fit.

        An answer of a single value is that value; what its schema leaves open (`xsd:any`) stays XML, as a text.
        """
        payload, output = envelope.payload, self._found.output
        if output.body is None:
            return None
        what = f"{self._receiver} answered with something that does not fit the operation {self.name!r}"
        named = self._found.style == "document" and not output._is_body_wrapped
        if payload is None or (named and payload.tag != output.body.qname):
            raise BackendError(what)
        try:
            with _nothing_left_out():
                return plain(self._found.process_reply(payload.getroottree().getroot()))
        except Exception as exc:
            raise BackendError(f"{what}: {_told(exc)}") from exc


class Port(msgspec.Struct, frozen=True):
    """Where operations are found: a port of a service, with the version of SOAP that is spoken there."""

    service: str
    name: str
    version: Version
    binding: Any

    def __str__(self) -> str:
        return f"{self.service}/{self.name} (SOAP {self.version})"


class Wsdl(msgspec.Struct, frozen=True):
    """What a WSDL describes, as far as it is SOAP over HTTP."""

    location: str
    ports: tuple[Port, ...]

    def port(self, version: Version, service: str = "", name: str = "") -> Port:
        """Return the first port that is meant. Raises ConfigurationError: there is none; those that are."""
        for port in self.ports:
            if port.version == version and service in ("", port.service) and name in ("", port.name):
                return port
        meant = "/".join(part for part in (service, name) if part) or "port"
        there = ", ".join(map(str, self.ports)) or "none"
        raise ConfigurationError(f"{self.location} has no {meant} that speaks SOAP {version}; there are: {there}")

    def operation(self, port: Port, name: str, receiver: str) -> Operation | None:
        """Return an operation; without a name, the only one if there is one. Raises ConfigurationError: no such."""
        found = port.binding.all()
        if not name:
            return Operation(next(iter(found.values())), receiver) if len(found) == 1 else None
        if name not in found:
            there = ", ".join(sorted(found)) or "none"
            raise ConfigurationError(f"{self.location} has no operation {name!r}; there are: {there}")
        return Operation(found[name], receiver)


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


async def load(location: str, headers: Mapping[str, str], timeout: float) -> Wsdl:
    """Return what the WSDL in a file or at a URL describes.

    Args:
        location: Path or URL.
        headers: Sent when it is fetched, to its own host only.
        timeout: Seconds for all of it.
    Raises:
        ConfigurationError: It cannot be loaded, or is none.
    """
    async with httpx2.AsyncClient(transport=httpx2.AsyncHTTPTransport(), timeout=None) as client:
        with anyio.move_on_after(timeout):
            return await anyio.to_thread.run_sync(_parsed, location, Documents(location, headers, client))
    raise ConfigurationError(f"{location} was not loaded within {timeout:g} s")


def same_host(one: str, other: str) -> bool:
    """Say whether two URLs are of the same scheme, host and port; a path, or what is no URL, is of none."""
    try:
        first, second = httpx2.URL(one), httpx2.URL(other)
    except httpx2.InvalidURL:
        return False
    return bool(first.host) and (first.scheme, first.netloc) == (second.scheme, second.netloc)


def plain(value: Any) -> Any:
    """Return what zeep has read without types of its own."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, Element):
        return written(value)
    if isinstance(value, dict | CompoundValue):
        return {key: plain(value[key]) for key in value}
    return value


def _parsed(location: str, documents: Any) -> Wsdl:
    settings = Settings(strict=True, forbid_dtd=True, forbid_entities=True, xml_huge_tree=False)
    try:
        return Wsdl(location, tuple(_ports(Document(location, documents, settings=settings))))
    except HoldfastError:
        raise
    except Exception as exc:
        raise ConfigurationError(f"{location} is no WSDL that can be used: {_told(exc)}") from exc


def _ports(document: Document) -> Iterator[Port]:
    for service in document.services.values():
        for port in service.ports.values():
            if (version := VERSIONS.get(type(port.binding))) is not None:
                yield Port(str(service.name), str(port.name), version, port.binding)


class _Loud:
    """Stands where zeep logs that a value is not of its type, and goes on without it: an error while we read."""

    reading = threading.local()

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def exception(self, remark: str, *details: object) -> None:
        """Raise XMLParseError, or log as zeep would: others may use it too."""
        if getattr(self.reading, "here", False):
            raise XMLParseError("a value is not of its type")  # type: ignore[no-untyped-call]
        self._logger.exception(remark, *details)


simple.logger = cast("logging.Logger", _Loud(simple.logger))


@contextmanager
def _nothing_left_out() -> Iterator[None]:
    _Loud.reading.here = True
    try:
        yield
    finally:
        _Loud.reading.here = False


def _told(exc: Exception) -> str:
    """Return what zeep says where it names parts of the schema, else the kind of error: no values are told."""
    text = " ".join(str(exc).split())[:SHOWN_CHARS] if isinstance(exc, TypeError | ZeepError) else ""
    return f"{type(exc).__name__}{': ' if text else ''}{text}"


def _too_much(location: str) -> ConfigurationError:
    return ConfigurationError(
        f"{location} and what it imports are more than {MOST_BYTES:,} bytes or {MOST_DOCUMENTS} documents"
    )
