"""A call by SOAP as the adapters `soap` and `sap_rm` make it: from a message's body to the answer's envelope.

A body is either XML, which is put into an envelope as it is, or, where a WSDL says what an operation looks like, a
mapping of its values. MTOM and attachments are not there.
"""

import gzip
import secrets
from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import urlencode

import anyio.to_thread
import httpx2
from msgspec import field

from holdfast.errors import BadInput, ConfigurationError
from holdfast.flows.adapters.adapter import Means
from holdfast.flows.adapters.envelope import (
    CONTENT_TYPES,
    NAMESPACES,
    Element,
    Envelope,
    Version,
    body_of,
    read,
    wrapped,
)
from holdfast.flows.adapters.sending import Answer, Sending, chosen, merged
from holdfast.flows.adapters.soap_documents import WEB, same_host
from holdfast.flows.adapters.soap_header import NONCE_BYTES, Blocks, security
from holdfast.flows.expressions import render
from holdfast.flows.message import Message
from holdfast.flows.parts import Part, Receiver

if TYPE_CHECKING:
    from holdfast.flows.adapters.soap_wsdl import Operation, Wsdl

INSTALL: Final = "pip install 'holdfast[soap]'"


class UsernameToken(Part, frozen=True, kw_only=True):
    """A WS-Security username token, which goes out in every envelope, whatever sessions there are.

    Args:
        credential: The name of a credential that is kept outside the flow (template).
        digest: Hash the password. Without it, the password stands in the envelope: for TLS only.
    """

    credential: str
    digest: bool = False


class SoapReceiver(Receiver, frozen=True, kw_only=True):
    """What receivers that are called by SOAP have in common.

    Args:
        version: Of SOAP.
        action: The SOAPAction (template), if it is not the one that the WSDL says.
        headers: HTTP headers of each call (template). Headers of the message do not go out, but for those in `forward`.
        soap_header: Elements for the envelope's header, XML with templates in texts and attributes.
        token: Who calls, if the envelope is to say it.
        gzip: Compress what goes out.
        wsdl: A file, relative to the flow's, or a URL: what it describes can be called with values instead of XML.
        operation: Of the WSDL, if it has several.
        service: Of the WSDL, if it has several, `port` likewise. Where a call goes, `url` says, never the WSDL.
    """

    version: Version = "1.1"
    action: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    forward: tuple[str, ...] = ()
    soap_header: str = ""
    token: UsernameToken | None = None
    gzip: bool = False
    wsdl: str = ""
    operation: str = ""
    service: str = ""
    port: str = ""


class SoapSending(Sending):
    """One receiver that is called by SOAP over HTTP. Raises ConfigurationError: settings that do not fit each other."""

    operation: "Operation | None" = None

    def __init__(self, name: str, options: SoapReceiver, means: Means) -> None:
        super().__init__(name, options, means)
        self._soap, self._blocks = options, Blocks(options.soap_header)
        if "://" in options.wsdl and not options.wsdl.startswith(WEB):
            raise ConfigurationError("`wsdl` is a file, or an http or https URL")
        if not options.wsdl and (options.operation or options.service or options.port):
            raise ConfigurationError("`operation`, `service` and `port` are those of a `wsdl`, and there is none")

    async def prepare(self) -> None:
        """Load the WSDL, if there is one, and find the operation in it."""
        options = self._soap
        if not options.wsdl:
            return
        wsdl = await self._loaded()
        port = wsdl.port(options.version, options.service, options.port)
        self.operation = wsdl.operation(port, options.operation, self.channel.name)

    async def exchange(
        self, message: Message, session: httpx2.AsyncClient, query: Mapping[str, str] | None = None
    ) -> tuple[Answer, Envelope]:
        """Send the message's body in an envelope, with more in the URL's query, and return what is answered.

        Raises:
            BadInput: The body is neither XML nor values for the operation.
            SoapFault: The receiver answered with a fault.
            HoldfastError: What else `send` and `read` raise.
        """
        options = self._soap
        inner = await self._inner(message)
        content = wrapped(inner.body, [*inner.header, *self._header(message)], options.version)
        headers = {**self._content_headers(message), **({"Content-Encoding": "gzip"} if options.gzip else {})}
        given = chosen(options.headers, options.forward, message)
        answer = await self.send(
            session,
            "POST",
            self._url(message, query or {}),
            merged(headers, given, self.authorization(message)),
            gzip.compress(content, mtime=0) if options.gzip else content,
        )
        return answer, read(self, answer)

    def by_values(self, message: Message) -> bool:
        """Say whether the message's body holds values rather than XML: a mapping, or nothing where there is a WSDL."""
        return isinstance(message.body, Mapping) or (message.body is None and bool(self._soap.wsdl))

    def _url(self, message: Message, query: Mapping[str, str]) -> str:
        url = render(self._soap.url, message.names, in_url=True)
        return f"{url}{'&' if '?' in url else '?'}{urlencode(query)}" if query else url

    async def _inner(self, message: Message) -> Envelope:
        if not self.by_values(message):
            element = body_of(message)
            if element.tag in {f"{{{namespace}}}Envelope" for namespace in NAMESPACES.values()}:
                raise BadInput("the body is an envelope already: give what is to stand in its body")
            return Envelope(body=(element,))
        if self.operation is None:
            hint = "Name the `operation`." if self._soap.wsdl else "Make it XML, or give the receiver a `wsdl`."
            raise BadInput("the body holds values, and nothing says which operation they are for", hint=hint)
        return await anyio.to_thread.run_sync(self.operation.content, message.body or {}, abandon_on_cancel=True)

    def _header(self, message: Message) -> list[Element]:
        blocks, token = self._blocks.filled(message.names), self._soap.token
        if token is None:
            return blocks
        who = self._means.credentials(render(token.credential, message.names))
        nonce = secrets.token_bytes(NONCE_BYTES)
        now = self._means.clock()
        return [*blocks, security(who, digest=token.digest, now=now, nonce=nonce, version=self._soap.version)]

    def _content_headers(self, message: Message) -> dict[str, str]:
        """Return the headers that say what is called: SOAP 1.1 §6.1.1, SOAP 1.2 Part 2 §6.5.3."""
        version, said = self._soap.version, self.operation.action if self.operation else ""
        action = (render(self._soap.action, message.names) or said).replace('"', "%22")
        if version == "1.1":
            return {"Content-Type": CONTENT_TYPES[version], "SOAPAction": f'"{action}"'}
        return {"Content-Type": CONTENT_TYPES[version] + (f'; action="{action}"' if action else "")}

    async def _loaded(self) -> "Wsdl":
        """Return the WSDL, which one adapter of a deployment loads for all."""
        options, shared = self._soap, self._means.shared
        at = options.wsdl if options.wsdl.startswith(WEB) else str(self._means.folder.absolute() / options.wsdl)
        if ("wsdl", at) not in shared:
            known = same_host(at, options.url) and not self.channel.dynamic_user
            headers = self.authorization(Message()) if known else {}
            shared["wsdl", at] = await _reader().load(at, headers, self.timeout)
        return cast("Wsdl", shared["wsdl", at])


def _reader() -> ModuleType:
    try:
        return import_module("holdfast.flows.adapters.soap_wsdl")
    except ImportError as exc:
        raise ConfigurationError("zeep is not installed, which reads a `wsdl`", hint=INSTALL) from exc
