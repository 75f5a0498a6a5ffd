"""A request to a service and its answer, whether it came by itself or in a batch."""

import logging
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import msgspec

from holdfast.errors import HoldfastError
from holdfast.odata.errors import BadRequest, ODataError, UnsupportedType, error_body, status_of
from holdfast.web.reply import Header, come_back

logger = logging.getLogger(__name__)

JSON: Final = "application/json"
REMEMBERED: Final = 200
METADATA: Final = ("minimal", "none", "full")
VERSIONS: Final = ("4.0", "4.01")
OLDEST: Final = VERSIONS[0]


class NotAcceptable(ODataError):
    """No format that the client takes is written here."""

    code = "not_acceptable"
    status = 406
    default_hint = "Accept application/json."


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked.

    Args:
        method: In capitals.
        path: Below the service root, percent-encoded.
        query: Percent-encoded.
        headers: By their names in small letters.
        root: The path of the service root, ending with a slash.
    """

    method: str
    path: str = ""
    query: str = ""
    headers: Mapping[str, str]
    body: bytes = b""
    root: str = "/"

    def check(self) -> None:
        """Raise what is wrong with a request of another version of OData, or whose body is packed."""
        version = self.headers.get("odata-version")
        if version is not None and version not in VERSIONS:
            raise BadRequest(f"OData-Version {version[:10]} is not spoken here")
        if self.headers.get("odata-maxversion", OLDEST) < OLDEST:
            raise BadRequest(f"there is no answer in a version before {OLDEST}", target="OData-MaxVersion")
        packed = self.headers.get("content-encoding", "identity")
        if self.body and packed != "identity":
            raise UnsupportedType(f"a body that is {packed[:20]!r} is not unpacked here")

    @property
    def content_type(self) -> str:
        """What the body is."""
        return self.headers.get("content-type", "")


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What is answered; names of headers are in small letters."""

    status: int = 200
    body: bytes = b""
    headers: tuple[Header, ...] = ()


class Form(msgspec.Struct, frozen=True):
    """The form of a JSON answer: how much metadata is in it, and whether large numbers are texts."""

    metadata: str = "minimal"
    ieee754: bool = False

    @property
    def content_type(self) -> Header:
        """The header that says so."""
        more = ";IEEE754Compatible=true" if self.ieee754 else ""
        return b"content-type", f"{JSON};odata.metadata={self.metadata}{more};charset=utf-8".encode()


PLAIN: Final = Form()


@lru_cache(REMEMBERED)
def form_of(accept: str, named: str | None) -> Form:
    """Return the form that `Accept`, or over it `$format`, asks for.

    Raises:
        NotAcceptable: It is none of JSON.
    """
    wanted = (named if named is not None else accept).replace(" ", "").lower()
    if named == "json" or not wanted:
        return PLAIN
    for choice in wanted.split(","):
        kind, *parameters = choice.split(";")
        if kind in (JSON, "*/*", "application/*"):
            said = dict(part.partition("=")[::2] for part in parameters)
            level = said.get("odata.metadata", said.get("metadata", "minimal"))
            return Form(level if level in METADATA else "minimal", said.get("ieee754compatible") == "true")
    raise NotAcceptable(f"{wanted[:60]} is not written here")


def failed(error: Exception) -> Answer:
    """Return the answer that tells of an error."""
    return Answer(
        status=status_of(error),
        body=msgspec.json.encode(error_body(error)),
        headers=((b"content-type", b"application/json"), (b"odata-version", b"4.0")),
    )


def told(error: Exception) -> Answer:
    """Return the answer to a request that raised something; what nobody expected is logged, and not told."""
    if not isinstance(error, HoldfastError) or error.status == 500:
        logger.error("an OData request failed", exc_info=error)
    answer = failed(error)
    return msgspec.structs.replace(answer, headers=(*answer.headers, *come_back(answer.status)))
