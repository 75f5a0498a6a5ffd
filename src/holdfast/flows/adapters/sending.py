"""What adapters have in common that send over HTTP: who calls, how much may come back, and what an answer means."""

import base64
import ssl
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import ClassVar, Final

import httpx2
import msgspec

from holdfast.errors import BackendError, BackendUnavailable, BadInput, LogonFailed
from holdfast.flows.adapters.adapter import Means
from holdfast.flows.expressions import render
from holdfast.flows.failures import CallRefused, CertificateRefused, NotCarriedOut, Unavailable
from holdfast.flows.message import Message
from holdfast.flows.parts import Receiver
from holdfast.flows.sessions.logons import LOGON, SESSION, Logon
from holdfast.flows.sessions.scopes import Channel
from holdfast.flows.sessions.tokens import TOKEN_FROM, UNSENT

TURNED_AWAY: Final = 429  # RFC 6585 §4
MAYBE_DONE: Final = frozenset({408, 502, 503, 504})
SHOWN_CHARS: Final = 2000
OF_THE_TRANSFER: Final = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "content-length", "content-encoding", "upgrade"}
)


class Answer(msgspec.Struct, frozen=True):
    """What a receiver answered, whatever the status.

    `unsent`: it refused a token or a logon, and got no call. `session`: the one that a logon of its own has opened.
    """

    status: int
    headers: httpx2.Headers
    content: bytes
    unsent: bool = False
    session: str = ""

    @property
    def media_type(self) -> str:
        """The content type without its parameters, in lower case."""
        return str(self.headers.get("content-type", "")).partition(";")[0].strip().lower()

    @property
    def text(self) -> str:
        """The content as a text, in the character set that the answer names."""
        return httpx2.Response(self.status, headers=self.told, content=self.content).text

    @property
    def told(self) -> dict[str, str]:
        """The headers that say something of the content, not of its transfer."""
        return {name: value for name, value in self.headers.items() if name not in OF_THE_TRANSFER}


class Sending:
    """One receiver that is reached by HTTP, with the settings of one step."""

    reuses: ClassVar[bool] = True  # False where receivers of this kind have no sessions (F5)
    wants_reuse: ClassVar[bool] = False  # True where the setting has to be switched on

    def __init__(self, name: str, options: Receiver, means: Means) -> None:
        self.timeout, self.retry = options.timeout, options.retry
        self._receiver, self._means = options, means
        self.channel = Channel(
            name=name,
            stateful=options.stateful,
            reuses=self.reuses,
            wants_reuse=self.wants_reuse,
            dynamic_user="${" in options.auth.basic + options.auth.bearer,
            cookies=options.session_cookies,
            log_off=options.log_off,
        )

    async def prepare(self) -> None:
        """Need nothing."""

    def safe(self, message: Message) -> bool:
        """Say whether the protocol lets the call for this message be carried out twice."""
        return False

    def repeatable(self, message: Message) -> bool:
        """Say what the receiver's settings say, else its state, else the protocol."""
        if isinstance(self._receiver.repeatable, bool):
            return self._receiver.repeatable
        return not self._receiver.stateful and self.safe(message)

    def authorization(self, message: Message) -> dict[str, str]:
        """Return the header that says who calls, if the settings say it."""
        auth, known = self._receiver.auth, self._means.credentials
        if auth.basic:
            who = known(render(auth.basic, message.names))
            return {"Authorization": "Basic " + base64.b64encode(f"{who.user}:{who.secret}".encode()).decode()}
        return {"Authorization": f"Bearer {known(render(auth.bearer, message.names)).secret}"} if auth.bearer else {}

    async def send(
        self,
        session: httpx2.AsyncClient,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: bytes | None = None,
        *,
        token_from: str = "",
        logon: Logon | None = None,
    ) -> Answer:
        """Send a request and return the whole answer; with a CSRF token, if `token_from` is the URL that hands it out.

        With `logon`, that comes first where there is no session.

        Raises:
            BadInput: This is no URL, or a header that would begin another one.
            NotCarriedOut: The receiver was not reached.
            BackendUnavailable: It did not answer.
            BackendError: Its answer is longer than it may be.
        """
        name = self.channel.name
        try:
            request = session.build_request(method, _read(url), headers=clean(headers), content=content)
            request.extensions.update({TOKEN_FROM: token_from} if token_from else {})
            request.extensions.update({LOGON: logon} if logon else {})
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol, UnicodeError) as exc:
            raise BadInput(f"this message makes no request to {name} ({type(exc).__name__})") from exc
        try:
            return await self.whole(await session.send(request, stream=True))
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as exc:
            raise _unreached(name, exc) from exc
        except httpx2.UnsupportedProtocol as exc:
            raise BadInput(f"this message makes no request to {name} ({type(exc).__name__})") from exc
        except (httpx2.TransportError, httpx2.DecodingError) as exc:
            raise BackendUnavailable(f"{name} did not answer ({type(exc).__name__})") from exc

    async def whole(self, response: httpx2.Response) -> Answer:
        """Return an answer that has begun to come, whole. Raises BackendError: it is longer than it may be."""
        try:
            content, more = await self._content(response), response.extensions
            return Answer(response.status_code, response.headers, content, UNSENT in more, more.get(SESSION, ""))
        finally:
            await response.aclose()

    def succeeded(self, answer: Answer) -> Answer:
        """Return an answer below 300; raise what any other means."""
        if answer.status >= 300:
            raise self.refused(answer)
        return answer

    def refused(self, answer: Answer, said: str = "") -> BackendError:
        """Return the error that a status means, `said` being what the receiver says of it in its protocol."""
        status, text = answer.status, f"{self.channel.name} answered {answer.status}{': ' if said else ''}{said}"
        if status == TURNED_AWAY or (answer.unsent and status in MAYBE_DONE):
            return NotCarriedOut(text, retry_after=_retry_after(answer))
        if status in MAYBE_DONE:
            return Unavailable(text, retry_after=_retry_after(answer))
        if status == 401:
            return LogonFailed(text)
        return CallRefused(text, http_status=status, answer=answer.text[:SHOWN_CHARS])

    async def _content(self, response: httpx2.Response) -> bytes:
        parts, size, most = [], 0, self._receiver.max_answer
        async for part in response.aiter_bytes():
            parts.append(part)
            size += len(part)
            if size > most:
                raise BackendError(
                    f"{self.channel.name} answered with more than {most:,} bytes",
                    hint="Raise `max_answer` of the receiver, or ask for less.",
                )
        return b"".join(parts)


@lru_cache(maxsize=256)
def _read(url: str) -> httpx2.URL:
    """Return a URL that most often was called before: reading one costs as much as all else of a request."""
    return httpx2.URL(url)


def clean(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Return headers of which none begins another one: what a message brings may not. Raises BadInput."""
    for name, value in headers.items():
        if not value.isprintable():
            raise BadInput(f"the header {name!r} would hold a character that cannot stand in it")
    return headers


def chosen(headers: Mapping[str, str], forward: Iterable[str], message: Message) -> dict[str, str]:
    """Return the headers that settings name: those of the message in `forward`, and `headers` (templates)."""
    forwarded = {name: str(value) for name in forward if (value := message.headers.get(name.lower()))}
    return merged(forwarded, {name: render(value, message.names) for name, value in headers.items()})


def merged(*parts: Mapping[str, str]) -> dict[str, str]:
    """Return headers together: of one that comes twice, in whatever letter case, the last."""
    last = {name.lower(): (name, value) for part in parts for name, value in part.items()}
    return dict(last.values())


def joined(url: str, path: str) -> str:
    """Return a URL with a path, or a query, put behind it."""
    if not path or path.startswith("?"):
        return url + path
    return f"{url.rstrip('/')}/{path.lstrip('/')}"


def _unreached(name: str, exc: BaseException) -> BackendError:
    """Return why nothing came to a receiver; that its certificate is not trusted does not change by trying again."""
    cause: BaseException | None = exc
    while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__ or cause.__context__
    if cause is not None:
        return CertificateRefused(f"the certificate of {name} is not trusted: {cause.verify_message}")
    return NotCarriedOut(f"{name} cannot be reached ({type(exc).__name__})")


def _retry_after(answer: Answer) -> float:
    asked = answer.headers.get("retry-after", "")  # a date in it, which RFC 9110 allows too, is not looked at
    return float(asked) if asked.isascii() and asked.isdigit() else 0.0
