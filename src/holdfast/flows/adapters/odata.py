"""What the adapters for OData have in common: one operation on a resource, a page after the other, and CSRF tokens.

The modules of the versions say which operations there are and how bodies look. Requests are made here and not by
pyodata, which knows V2 alone: it makes them from `$metadata` only, so every worker would fetch and keep that of every
service, and it has no Atom, no `If-Match` and no tokens. The tests have it as a client of the same service.
"""

import re
import uuid
from collections.abc import Mapping
from typing import Any, ClassVar, Final

import httpx2

from holdfast.errors import BackendError, BadInput
from holdfast.flows.adapters import odata_urls as urls
from holdfast.flows.adapters.adapter import Means
from holdfast.flows.adapters.odata_payloads import Page, Payloads, error_in
from holdfast.flows.adapters.odata_settings import COUNTS, POST, READING, OData, check
from holdfast.flows.adapters.sending import Answer, Sending, chosen, merged
from holdfast.flows.content import decoded
from holdfast.flows.expressions import render
from holdfast.flows.message import Message

PAGES: Final = "pages"
IDEMPOTENT: Final = READING | {"PUT", "DELETE"}  # RFC 9110 §9.2.2
TUNNELLED: Final = "X-HTTP-Method"  # the method that is meant by a POST, where nothing else comes through
OF_READING: Final = ("select", "expand")
OF_LISTS: Final = ("select", "filter", "expand", "orderby")
PLAIN: Final = ("$value", "$count")
SKIP: Final = re.compile(r"(?<=[?&]\$skip=)\d+")


class ODataAdapter(Sending):
    """Carries out one operation on an OData service."""

    methods: ClassVar[Mapping[str, str]] = {  # by operation, of both versions
        "query": "GET",
        "read": "GET",
        "create": POST,
        "update": "PUT",
        "patch": "PATCH",
        "delete": "DELETE",
    }
    payloads: Payloads

    def __init__(self, name: str, options: OData, means: Means) -> None:
        super().__init__(name, options, means)
        self._options = options
        check(options, self.method)

    def safe(self, message: Message) -> bool:
        """Say it of the method."""
        return self.method in IDEMPOTENT

    @property
    def method(self) -> str:
        """The HTTP method of the operation."""
        return self.methods[self._options.operation]

    @property
    def lists(self) -> bool:
        """Whether the operation brings a list that can be filtered, ordered and cut."""
        return self.method in READING and self._options.operation != "read"

    async def call(self, message: Message, session: httpx2.AsyncClient, delivery: uuid.UUID) -> Message:
        """Carry the operation out and return the answer as a message."""
        if self.method in READING:
            return await self._read(message, session)
        answer = await self._exchange(message, session, self.url(message), self.content(message))
        page = self.page(answer)
        return self._result(message, answer, page)

    # -- the request

    def protocol(self) -> dict[str, str]:
        """Return the headers that the version of OData asks for."""
        return {}

    def service(self, message: Message) -> str:
        """Return the root of the service."""
        return render(self._options.url, message.names, in_url=True).rstrip("/")

    def url(self, message: Message) -> str:
        """Return the URL of the resource with its options."""
        query = "&".join(f"{name}={value}" for name, value in self._queried(message).items())
        return self.resource(message) + (f"?{query}" if query else "")

    def resource(self, message: Message) -> str:
        """Return the URL of the resource without options."""
        options, names = self._options, message.names
        path = urls.path(options.resource, names) + ("" if options.key is None else urls.key(options.key, names))
        return f"{self.service(message)}/{path}"

    def options(self, message: Message) -> dict[str, str]:
        """Return the query options that OData defines, percent-encoded, as far as they mean something here."""
        options, names = self._options, message.names
        asked = OF_LISTS if self.lists else OF_READING if self.method in READING else ()
        texts = {name: getattr(options, name) for name in asked}
        numbers = {name: getattr(options, name) for name in COUNTS if self.lists}
        return {
            **{f"${name}": urls.option(text, names) for name, text in texts.items() if text},
            **{f"${name}": urls.number(count, names) for name, count in numbers.items() if count != ""},
        }

    def always(self, message: Message) -> dict[str, str]:
        """Return the query options of every request to the service, its tokens included, percent-encoded."""
        return self._further(message, sap=True)

    def content(self, message: Message) -> bytes | None:
        """Return the body of the request. Raises BadInput: the message has none that could be sent."""
        if self.method in (*READING, "DELETE"):
            return None
        match message.body:
            case None:
                raise BadInput(f"there is no body to {self._options.operation} anything with")
            case bytes() as content:
                return content
            case str() as text:
                return text.encode()
        return self.payloads.write(message.body)

    def _queried(self, message: Message) -> dict[str, str]:
        return {**self.options(message), **self._further(message, sap=False), **self.always(message)}

    def _further(self, message: Message, *, sap: bool) -> dict[str, str]:
        chosen_ = {name: text for name, text in self._options.query.items() if name.startswith("sap-") is sap}
        return {urls.option(name, {}): urls.option(text, message.names) for name, text in chosen_.items()}

    def _token_from(self, message: Message) -> str:
        query = "&".join(f"{name}={value}" for name, value in self.always(message).items())
        return f"{self.service(message)}/" + (f"?{query}" if query else "")

    # -- sending

    async def _exchange(
        self, message: Message, session: httpx2.AsyncClient, url: str, content: bytes | None = None
    ) -> Answer:
        options, method = self._options, self.method
        etag = render(options.etag, message.names) if method not in READING else ""
        headers = merged(
            self.protocol(),
            {"Accept": self.payloads.accepts},
            {} if content is None else {"Content-Type": self.payloads.content_type},
            {"If-Match": etag} if etag else {},
            chosen(options.headers, options.forward, message),
            self.authorization(message),
        )
        token_from = self._token_from(message) if options.csrf and method not in READING else ""
        sent_as = POST if TUNNELLED in headers else method
        return self.succeeded(await self.send(session, sent_as, url, headers, content, token_from=token_from))

    def refused(self, answer: Answer, said: str = "") -> BackendError:
        """Return the error that an answer means, with code and message of the service."""
        return super().refused(answer, said or error_in(answer.content, answer.media_type))

    # -- the answer

    def page(self, answer: Answer) -> Page:
        """Return what the answer holds. Raises BackendError: it is no OData."""
        if not answer.content:
            return Page(None)
        kind = answer.media_type
        try:
            if self._options.resource.endswith(PLAIN):
                return Page(decoded(answer.content, str(answer.headers.get("content-type", ""))))
            if "json" in kind or "xml" in kind:
                return self.payloads.read(answer.content)
        except ValueError as exc:
            raise BackendError(f"{self.channel.name}: what it answered cannot be read: {exc}") from exc
        raise BackendError(
            f"{self.channel.name} answered with {kind or 'something'}, which is no OData",
            hint="Look whether this is a page to log on, or the URL another one than the service's.",
        )

    def _result(self, message: Message, answer: Answer, page: Page, **properties: Any) -> Message:
        headers: dict[str, Any] = {**answer.told, "http-status": answer.status}
        headers |= {"etag": page.etag} if page.etag else {}
        headers |= {"odata-count": page.count} if page.count is not None else {}
        return message.changed(headers=headers, properties=properties, body=page.body)

    # -- pages

    async def _read(self, message: Message, session: httpx2.AsyncClient) -> Message:
        known, name = message.properties.get(PAGES), self.channel.name
        pages, first = dict(known) if isinstance(known, Mapping) else {}, self.url(message)
        url = self._followed(first, "", pages[name]) if self._options.process_in_pages and pages.get(name) else first
        answer = await self._exchange(message, session, url)
        page = self.page(answer)
        more = self._more(url, page)
        if self._options.process_in_pages:
            return self._result(message, answer, page, **{PAGES: {**pages, name: more or None}})
        if more:
            rows = [*page.body, *await self._rest(message, session, url, more, len(answer.content))]
            page = Page(rows, count=page.count)
        return self._result(message, answer, page)

    async def _rest(self, message: Message, session: httpx2.AsyncClient, url: str, more: str, size: int) -> list[Any]:
        """Return the rows of all pages but the first."""
        rows: list[Any] = []
        seen, most = {url}, self._options.max_answer
        while more:
            if more in seen:
                raise BackendError(f"{self.channel.name} names a page as the next one that has been read")
            if len(seen) == self._options.max_pages:
                raise BackendError(
                    f"{self.channel.name} has more than {self._options.max_pages} pages",
                    hint="Raise `max_pages` of the receiver, ask for less, or use `process_in_pages` in a loop.",
                )
            seen.add(more)
            answer = await self._exchange(message, session, more)
            page = self.page(answer)
            size += len(answer.content)
            if size > most:
                raise BackendError(f"the pages of {self.channel.name} have more than {most:,} bytes together")
            rows += page.body if isinstance(page.body, list) else []
            more = self._more(more, page)
        return rows

    def _more(self, url: str, page: Page) -> str:
        """Return the URL of the next page, empty if this was the last."""
        if not isinstance(page.body, list):
            return ""
        if page.more:
            return self._followed(url, page.base, page.more)
        skipped = SKIP.search(url)
        if skipped is None or len(page.body) != self._options.page_size:
            return ""
        read = int(skipped[0]) + len(page.body)
        return "" if read == page.count else SKIP.sub(str(read), url)

    def _followed(self, url: str, base: str, link: str) -> str:
        """Return the URL of a link in an answer. Raises BackendError: it leads to another server."""
        try:
            here, there = httpx2.URL(url), httpx2.URL(url).join(base).join(link)
        except (httpx2.InvalidURL, TypeError) as exc:
            raise BackendError(f"{self.channel.name} names a next page that is no URL") from exc
        if (here.scheme, here.netloc, here.userinfo) != (there.scheme, there.netloc, there.userinfo):
            raise BackendError(
                f"{self.channel.name} names a next page at another server, {there.host}",
                hint="Let the service, or the proxy before it, name itself as the flow calls it.",
            )
        return str(there)
