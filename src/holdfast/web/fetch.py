"""What identity parts fetch from an issuer, over HTTP: small answers, no redirects, no cookies."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import quote_plus

import anyio
import httpx2

from holdfast.identity.facts import IssuerRefused, IssuerUnavailable
from holdfast.identity.fetching import Fetch

TIMEOUT_S: Final = 5.0


class HttpFetch:
    """Sends single requests; see `Fetch` for what it promises."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client

    async def __call__(
        self,
        url: str,
        *,
        limit: int,
        form: Mapping[str, str] | None = None,
        login: tuple[str, str] | None = None,
        bearer: str = "",
    ) -> bytes:
        """Return the body of a 200."""
        auth = httpx2.BasicAuth(*map(quote_plus, login)) if login else None  # both are form-encoded first (RFC 6749)
        headers = {"accept": "application/json, */*;q=0.1", **({"authorization": f"Bearer {bearer}"} if bearer else {})}
        request = self._client.build_request("GET" if form is None else "POST", url, data=form, headers=headers)
        try:
            answer = await self._client.send(request, auth=auth, follow_redirects=False, stream=True)
            try:
                return await _body(answer, limit)
            finally:
                await answer.aclose()
        except httpx2.HTTPError as exc:
            raise IssuerUnavailable(f"the issuer does not answer: {type(exc).__name__}") from exc


async def _body(answer: httpx2.Response, limit: int) -> bytes:
    if 400 <= answer.status_code < 500:
        raise IssuerRefused(f"the issuer answers {answer.status_code}")
    if answer.status_code != 200:
        raise IssuerUnavailable(f"the issuer answers {answer.status_code}")
    read = bytearray()
    async for piece in answer.aiter_bytes():
        read += piece
        if len(read) > limit:
            raise IssuerUnavailable(f"the issuer's answer is longer than {limit} bytes")
    return bytes(read)


async def post_xml(url: str, body: bytes, *, limit: int, timeout: float = TIMEOUT_S) -> bytes:
    """Return the body of a 200 to a SOAP 1.1 message, which is no longer than `limit` bytes.

    Raises:
        IssuerUnavailable: There is no such answer within `timeout` seconds.
    """
    headers = {"content-type": "text/xml; charset=utf-8", "soapaction": '""', "accept": "text/xml"}
    try:
        with anyio.fail_after(timeout):
            async with (
                httpx2.AsyncClient(timeout=timeout, follow_redirects=False) as client,
                client.stream("POST", url, content=body, headers=headers) as answer,
            ):
                return await _body(answer, limit)
    except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError) as exc:
        raise IssuerUnavailable(f"the issuer does not answer: {type(exc).__name__}") from exc


@asynccontextmanager
async def open_fetch() -> AsyncIterator[Fetch]:
    """Keep connections to issuers open until the block ends."""
    async with httpx2.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False) as client:
        yield HttpFetch(client)
