"""The MIME entities that AS2 messages are made of, to the byte: what is signed is what is sent (RFC 8551, 4130)."""

import base64
import re
import secrets
from collections.abc import Mapping
from email.header import Header
from typing import Final
from urllib.parse import quote

import msgspec

from holdfast.flows.adapters.mime import multipart, parameter
from holdfast.flows.adapters.sending import clean

END_OF_LINE: Final = re.compile(rb"\r\n|\r|\n")
WIDE: Final = ("utf-16", "utf-32", "ucs", "iso-10646")  # character sets in which an end of line is no single byte
BINARY: Final = {"Content-Transfer-Encoding": "binary"}
LINE: Final = 76


class Entity(msgspec.Struct, frozen=True):
    """Headers and content."""

    headers: Mapping[str, str]
    content: bytes

    @property
    def whole(self) -> bytes:
        """The entity as it stands in another one. Raises BadInput: a header would begin another one."""
        lines = [f"{name}: {value}\r\n" for name, value in clean(self.headers).items()]
        return "".join(lines).encode() + b"\r\n" + self.content


def payload(content: bytes, media: str, filename: str) -> Entity:
    """Return the entity of what is to be sent. The lines of a text end with CRLF (RFC 8551 §3.1.1)."""
    headers = {"Content-Type": media, **BINARY}
    if filename:
        headers["Content-Disposition"] = f"attachment; {_filename(filename)}"
    return Entity(headers, END_OF_LINE.sub(b"\r\n", content) if _is_text(media) else content)


def _is_text(media: str) -> bool:
    return media.lower().startswith("text/") and not parameter(media, "charset").lower().startswith(WIDE)


def _filename(name: str) -> str:
    """Return the parameter that holds a file's name (RFC 2183, 8187)."""
    if name.isascii():
        escaped = re.sub(r'(["\\])', r"\\\1", name)
        return f'filename="{escaped}"'
    return f"filename*=UTF-8''{quote(name, safe='')}"


def signed(entity: Entity, signature: bytes, micalg: str) -> Entity:
    """Return an entity with its signature (RFC 1847, RFC 8551 §3.5.3)."""
    boundary = f"=_{secrets.token_hex(16)}"
    media = f'multipart/signed; protocol="application/pkcs7-signature"; micalg={micalg}; boundary="{boundary}"'
    second = {
        "Content-Type": "application/pkcs7-signature; name=smime.p7s",
        "Content-Transfer-Encoding": "base64",
        "Content-Disposition": "attachment; filename=smime.p7s",
    }
    parts = [(clean(entity.headers), entity.content), (second, _in_base64(signature))]
    return Entity({"Content-Type": media}, multipart(parts, boundary))


def enclosed(data: bytes, kind: str) -> Entity:
    """Return an entity of CMS: `enveloped-data`, `authEnveloped-data` or `compressed-data` (RFC 8551 §3.2)."""
    suffix = "p7z" if kind == "compressed-data" else "p7m"
    headers = {
        "Content-Type": f"application/pkcs7-mime; smime-type={kind}; name=smime.{suffix}",
        **BINARY,
        "Content-Disposition": f"attachment; filename=smime.{suffix}",
    }
    return Entity(headers, data)


def as2_name(name: str) -> str:
    """Return a name for AS2-From and AS2-To, quoted if it must be (RFC 4130 §6.2)."""
    if not re.search(r'[ "\\]', name):
        return name
    escaped = re.sub(r'(["\\])', r"\\\1", name)
    return f'"{escaped}"'


def subject(text: str) -> str:
    """Return a subject in ASCII (RFC 2047)."""
    return text if text.isascii() else Header(text, "utf-8").encode().replace("\n", "")


def _in_base64(data: bytes) -> bytes:
    text = base64.b64encode(data)
    return b"\r\n".join(text[at : at + LINE] for at in range(0, len(text), LINE))
