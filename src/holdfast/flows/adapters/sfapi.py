"""SFAPI, the SOAP interface of SAP SuccessFactors: what its receiver and its polling sender have in common.

`login` opens a session, whose id is its cookie, and `logout` ends it when its scope does; that of a single call, under
`none`, idles out. A session that has idled for 10 minutes is gone: the next call gets the fault INVALID_SESSION, the
logon is repeated once, and a query goes on behind the last row that has come.

Source: protocols/adapters.md §1; the names of elements are those of SFAPI's WSDL. That `startRow` counts from 0 is an
inference.
"""

from collections.abc import AsyncGenerator, Mapping
from typing import Annotated, Any, Final

import httpx2
import msgspec
from lxml import etree
from lxml.builder import ElementMaker
from msgspec import Meta, field

from holdfast.errors import BackendError, BadInput, ConfigurationError, LogonFailed, SessionExpiredError
from holdfast.flows.adapters.adapter import Means
from holdfast.flows.adapters.envelope import CONTENT_TYPES, Element, read, wrapped
from holdfast.flows.adapters.sending import Answer, Sending
from holdfast.flows.expressions import render
from holdfast.flows.failures import SoapFault
from holdfast.flows.message import Message
from holdfast.flows.parts import Positive, Receiver
from holdfast.flows.sessions.logons import Logon

NAMESPACE: Final = "urn:sfobject.sfapi.successfactors.com"
HEADERS: Final = {"Content-Type": CONTENT_TYPES["1.1"], "SOAPAction": '""'}
GONE: Final = "INVALID_SESSION"
NIL: Final = "{http://www.w3.org/2001/XMLSchema-instance}nil"
QUOTES: Final = ("'", '"', "\\")
make: Final = ElementMaker(namespace=NAMESPACE, nsmap={None: NAMESPACE})

Row = dict[str, Any]


class Sfapi(Receiver, frozen=True, kw_only=True):
    """What calls of SFAPI have in common. `auth: {basic: …}` is the user and password of `login`.

    Args:
        company: The company's id.
        parameters: More parameters of the operation, as SFAPI names them.
        page: Rows or objects of one call.
        max_rows: More rows of one query are an error.
    """

    company: Annotated[str, Meta(min_length=1)]
    parameters: dict[str, str] = field(default_factory=dict)
    page: Annotated[int, Meta(ge=1, le=800)] = 200
    max_rows: Positive = 100_000


class SessionGone(BackendError):
    """The receiver does not know the session; nothing was carried out."""

    code = "session_gone"

    def __init__(self, session: str, cause: BackendError) -> None:
        super().__init__(str(cause))
        self.session, self.cause = session, cause


class SfapiSending(Sending):
    """Calls SFAPI. Raises ConfigurationError: there is no user to log on."""

    wants_reuse = True

    def __init__(self, name: str, options: Sfapi, means: Means) -> None:
        super().__init__(name, options, means)
        self._sfapi = options
        if not options.auth.basic:
            raise ConfigurationError("SFAPI takes user and password: `auth: {basic: …}` is missing")
        if not options.log_off and "${" not in options.url:
            leaving = wrapped([make.logout()]).decode()
            self.channel = msgspec.structs.replace(self.channel, log_off=options.url, log_off_soap=leaving)

    async def rows(self, query: str, message: Message, session: httpx2.AsyncClient) -> AsyncGenerator[list[Row], None]:
        """Yield the rows of a query (template; no quotes are put in), a page at a time.

        Raises BackendError: there are more than `max_rows`.
        """
        text, had = render(query, message.names, put=_unquoted), 0
        content = self._query(text, had)
        while True:
            result = await self.result(content, message, session, instead=self._query(text, had))
            page = [values(found) for found in result.iterfind(f"{{{NAMESPACE}}}sfobject")]
            had += len(page)
            if had > self._sfapi.max_rows:
                raise BackendError(
                    f"{self.channel.name} has more than {self._sfapi.max_rows:,} rows for the query",
                    hint="Raise `max_rows` of the receiver, or ask for less.",
                )
            yield page
            if _text(result, "hasMore") != "true":
                return
            content = make.queryMore(make.querySessionId(_text(result, "querySessionId")))

    async def result(
        self, content: Element, message: Message, session: httpx2.AsyncClient, *, instead: Element | None = None
    ) -> Element:
        """Return the `result` of an operation; if the session is gone, that of `instead` after another logon.

        Raises:
            SessionExpiredError: The session is gone, and with it the state that the receiver is said to keep in it.
            HoldfastError: What `send` and `read` raise.
        """
        try:
            return await self._result(content, message, session)
        except SessionGone as gone:
            if self.channel.stateful:
                raise SessionExpiredError(f"{self.channel.name} has let its session go") from gone
            try:
                return await self._result(content if instead is None else instead, message, session, gone.session)
            except SessionGone as again:
                raise again.cause from gone

    def parameters(self, **more: str) -> list[Element]:
        """Return SFAPI's form of parameters."""
        return [make.param(make.name(name), make.value(value)) for name, value in more.items()]

    # -- inside

    def _query(self, text: str, start: int) -> Element:
        given = {"maxRows": str(self._sfapi.page), **self._sfapi.parameters}
        at = {"startRow": str(start)} if start else {}
        return make.query(make.queryString(text), *self.parameters(**given, **at))

    async def _result(
        self, content: Element, message: Message, session: httpx2.AsyncClient, refused: str = ""
    ) -> Element:
        logon = self._logon(message, session, refused)
        url = render(self._sfapi.url, message.names, in_url=True)
        answer = await self.send(session, "POST", url, HEADERS, wrapped([content]), logon=logon)
        try:
            return self._opened(answer, content)
        except (SoapFault, LogonFailed) as exc:
            if answer.session and (isinstance(exc, LogonFailed) or _says_gone(exc)):
                raise SessionGone(answer.session, exc) from exc
            raise

    def _opened(self, answer: Answer, content: Element) -> Element:
        """Return the `result` that answers this content. Raises what `read` does, and BackendError: there is none."""
        payload = read(self, answer).payload
        result = None if payload is None else payload.find(f"{{{NAMESPACE}}}result")
        if payload is None or result is None or payload.tag != f"{content.tag!s}Response":
            raise BackendError(f"{self.channel.name} answered with something that is no result of SFAPI")
        return result

    def _logon(self, message: Message, session: httpx2.AsyncClient, refused: str) -> Logon:
        who = self._means.credentials(render(self._sfapi.auth.basic, message.names))
        url = render(self._sfapi.url, message.names, in_url=True)
        try:
            credential = make.credential(
                make.companyId(self._sfapi.company), make.username(who.user), make.password(who.secret)
            )
        except ValueError as exc:
            raise BadInput("user or password has a character that cannot stand in XML") from exc
        content = make.login(credential)

        async def judge(response: httpx2.Response) -> None:
            answer = msgspec.structs.replace(await self.whole(response), unsent=True)
            try:
                result = self._opened(answer, content)
            except SoapFault as exc:
                raise LogonFailed(f"{self.channel.name} refuses the logon: {exc.said}") from exc
            if not _text(result, "sessionId"):
                why = _text(result, "error") or "it gives no session"
                raise LogonFailed(f"{self.channel.name} refuses the logon: {why}")

        request = session.build_request("POST", url, headers=HEADERS, content=wrapped([content]))
        return Logon(who.user, request, judge, refused)


def values(element: Element) -> Row:
    """Return the children of an element: a text, None for what is nil, a row if it has children, a list of several."""
    row: Row = {}
    for child in element:
        name = etree.QName(child).localname
        value = values(child) if len(child) else None if child.get(NIL) in ("true", "1") else child.text or ""
        if name not in row:
            row[name] = value
        else:
            row[name] = [*(row[name] if isinstance(row[name], list) else [row[name]]), value]
    return row


def elements(row: Mapping[str, Any]) -> list[Element]:
    """Return the elements of a row; what is None is nil. Raises BadInput: a name or a value that XML cannot say."""
    return [element for name, value in row.items() for element in _elements(name, value)]


def _elements(name: str, value: Any) -> list[Element]:
    if isinstance(value, list | tuple):
        return [element for item in value for element in _elements(name, item)]
    try:
        if isinstance(value, Mapping):
            return [make(name, *elements(value))]
        return [make(name, {NIL: "true"})] if value is None else [make(name, _written(value))]
    except (ValueError, TypeError, IndexError) as exc:  # the last one for an empty name
        raise BadInput(f"the field {name!r} cannot be written as XML: {exc}") from exc


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise TypeError(f"a {type(value).__name__} is no value of a field")


def _text(element: Element, name: str) -> str:
    return " ".join(element.findtext(f"{{{NAMESPACE}}}{name}", "").split())


def _says_gone(fault: SoapFault) -> bool:
    return GONE in (fault.fault, fault.text) or GONE in fault.detail


def _unquoted(text: str) -> str:
    """Return a text that ends no string of a query."""
    if any(quote in text for quote in QUOTES):
        raise BadInput("a value that is put into the query has a quote or a backslash")
    return text
