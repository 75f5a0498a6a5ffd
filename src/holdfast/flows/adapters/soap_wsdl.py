"""Services that a WSDL describes, by zeep: values become an envelope's content, and an answer's content values.

zeep reads and writes and never sends: the documents of a WSDL come through `Documents`, and calls go through the
channel's own client. It is an extra, `holdfast[soap]`; this module is imported only where a receiver has a `wsdl`.
"""

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, cast

import anyio
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
from holdfast.flows.adapters.soap_documents import Documents

VERSIONS: Final[Mapping[type, Version]] = {Soap11Binding: "1.1", Soap12Binding: "1.2"}
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
        raise ConfigurationError(f"{location} is no WSDL that can be used: {_shown(exc)}") from exc


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
    return _shown(exc) if isinstance(exc, TypeError | ZeepError) else type(exc).__name__


def _shown(exc: Exception) -> str:
    return f"{type(exc).__name__}: {' '.join(str(exc).split())[:SHOWN_CHARS]}"
