"""Answers the system gives: the error envelope, the ICM and logon pages, and small builders (ADT §2.6, §5.2, §8)."""

from collections.abc import Iterable, Mapping
from typing import Final
from xml.sax.saxutils import escape, quoteattr

import msgspec

XML_DECLARATION: Final = '<?xml version="1.0" encoding="utf-8"?>'
CONTEXT_GONE_PATHS: Final = ("", "/sap", "/sap/bc", "/sap/bc/adt")
LONG_AGO: Final = "Thu, 01-Jan-1970 00:00:01 GMT"


class Answer(msgspec.Struct):
    """One HTTP answer. `reason` replaces the standard reason phrase where the server can send it."""

    status: int = 200
    body: bytes = b""
    media: str | None = None
    headers: list[tuple[str, str]] = msgspec.field(default_factory=list)
    reason: str | None = None


class Refused(Exception):
    """Ends the handling of a request with this answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def xml(text: str, media: str = "application/xml", *, status: int = 200) -> Answer:
    """Return an XML answer; the declaration is put before `text`."""
    return Answer(status=status, body=(XML_DECLARATION + text).encode(), media=f"{media}; charset=utf-8")


def attributes(values: Mapping[str, str | None]) -> str:
    """Return ` name="value"` for every value that is not None."""
    return "".join(f" {name}={quoteattr(value)}" for name, value in values.items() if value is not None)


def adt_error(
    status: int,
    type_id: str,
    message: str,
    *,
    t100: str | None = None,
    variables: Iterable[str] = (),
    properties: Mapping[str, str] | None = None,
) -> Refused:
    """Return the exception to raise for an ADT error, on one line as clients expect it (ADT §8.1).

    `t100` is a message class and number such as `EU/510`, `variables` are V1 to V4.
    """
    entries: dict[str, str] = {}
    if t100:
        entries["T100KEY-ID"], entries["T100KEY-NO"] = t100.split("/")
        entries |= {f"T100KEY-V{number}": value for number, value in enumerate(variables, 1)}
    entries |= properties or {}
    listed = "".join(f'<entry key="{key}">{_one_line(value)}</entry>' for key, value in entries.items())
    one_line = _one_line(message)
    return Refused(
        xml(
            '<exc:exception xmlns:exc="http://www.sap.com/abapxml/types/communicationframework">'
            f'<namespace id="com.sap.adt"/><type id="{type_id}"/><message lang="EN">{one_line}</message>'
            f'<localizedMessage lang="EN">{one_line}</localizedMessage><properties>{listed}</properties>'
            "</exc:exception>",
            status=status,
        )
    )


def _one_line(text: str) -> str:
    """Escape a text that may hold anything a client sent."""
    return escape("".join(character for character in " ".join(text.split()) if character.isprintable()))


def not_found(name: str) -> Refused:
    """The object does not exist (ADT §8.2)."""
    return adt_error(404, "ExceptionResourceNotFound", f"Error while importing object {name} from the database.")


def no_resource() -> Refused:
    """There is nothing at this URL (ADT §8.2)."""
    return adt_error(404, "ExceptionResourceNotFound", "No suitable resource found")


def parameter_missing(name: str) -> Refused:
    """A query parameter is missing (ADT §8.2)."""
    text = f"Parameter {name} could not be found"
    return adt_error(400, "ExceptionParameterNotFound", text, t100="SADT_RESOURCE/017", variables=[name])


def invalid_data(text: str, path: str = "") -> Refused:
    """The body fails the simple transformation (ADT §8.2)."""
    properties = {"XML_PATH": path, "XML_OFFSET": "0"}
    return adt_error(400, "ExceptionInvalidData", text, t100="00/001", properties=properties)


def csrf_required() -> Answer:
    """The token is wrong or missing: these 28 characters and this header (ADT §2.2)."""
    return Answer(403, b"CSRF token validation failed", "text/plain; charset=utf-8", [("x-csrf-token", "Required")])


def expired_context_cookies() -> list[str]:
    """Set-Cookie lines that delete the context for every path it may have been stored under (ADT §2.1)."""
    line = f"sap-contextid=0; expires={LONG_AGO}"
    return [f"{line}; path={path}" if path else line for path in CONTEXT_GONE_PATHS]


def session_timed_out() -> Answer:
    """The presented context is unknown, ended or not ours: the ICM answers, not ADT (ADT §5.2)."""
    page = "<html><head><title>Session timed out</title></head><body><h1>400 Session timed out</h1>"
    page += "<p>Error: ICMENOSESSION</p></body></html>"
    headers = [("x-sap-icm-err-id", "ICMENOSESSION"), ("sap-err-id", "ICMENOSESSION"), ("connection", "close")]
    headers += [("set-cookie", line) for line in expired_context_cookies()]
    return Answer(400, page.encode(), "text/html", headers, reason="Session timed out")


def service_unreachable() -> Answer:
    """The ICM found nobody to hand the request to (ADT §8.2; the exact page is not known)."""
    title = b"<html><head><title>Application Server Error</title></head>"
    page = title + b"<body><h1>Service cannot be reached</h1></body></html>"
    return Answer(400, page, "text/html", [("connection", "close")], reason="Service cannot be reached")


def overloaded() -> Answer:
    """No work process is free (ADT §8.2)."""
    page = b"<html><head><title>Service Unavailable</title></head><body><h1>503 Service Unavailable</h1></body></html>"
    return Answer(503, page, "text/html")


def realm(system_id: str, client: str) -> tuple[str, str]:
    """Return the header that asks for Basic credentials (ADT §2.6)."""
    return "www-authenticate", f'Basic realm="SAP NetWeaver Application Server [{system_id}/{client}]"'


def short_dump() -> Answer:
    """A short dump: HTML with 500 (ADT §8.2)."""
    title = b"<html><head><title>Application Server Error</title></head>"
    page = title + b"<body><h1>500 Internal Server Error</h1><p>Runtime error</p></body></html>"
    return Answer(500, page, "text/html")


def not_authorized() -> Answer:
    """The user lacks an authorisation (ADT §8.2)."""
    return adt_error(403, "ExceptionNotAuthorized", "No authorization for this operation").answer


def logon_failed(system_id: str, client: str, text: str = "Logon failed") -> Answer:
    """No or wrong credentials (ADT §2.6)."""
    page = f"<html><head><title>Logon Error Message</title></head><body><h1>401 {escape(text)}</h1></body></html>"
    return Answer(401, page.encode(), "text/html; charset=utf-8", [realm(system_id, client)])


def logon_page(status: int = 200) -> Answer:
    """The HTML logon page a single sign-on system sends instead of data (ADT §2.6)."""
    page = (
        '<!DOCTYPE html><html><head><title>Logon</title></head><body><form name="loginForm" method="post">'
        '<input name="sap-user"/><input name="sap-password" type="password"/></form></body></html>'
    )
    return Answer(status, page.encode(), "text/html; charset=utf-8")
