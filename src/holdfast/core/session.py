"""A live node, opened: its record and its content. What faces hold in their hands; the manager reads and writes it."""

from collections.abc import Iterable
from typing import Any, Final, Literal

import msgspec

from holdfast.core.model import Record, Ref
from holdfast.core.sealing import KeyRing, Unreadable
from holdfast.errors import PayloadTooLarge

Serializer = Literal["msgpack", "json"]
JSON_OBJECT: Final = b"{"  # what no mapping in MessagePack begins with


class Session:
    """A node and its content, a mapping of plain values that may be changed and saved.

    `id` is known only where it was just made, or given by the client. `above` are the keys of the ancestors.
    """

    __slots__ = ("above", "content", "id", "record")

    def __init__(
        self,
        record: Record,
        content: dict[str, Any],
        *,
        above: tuple[bytes, ...] = (),
        session_id: str | None = None,
    ) -> None:
        self.record = record
        self.content = content
        self.above = above
        self.id = session_id

    def __repr__(self) -> str:
        return f"<Session {self.record.kind} {self.record.mark or self.record.hex}>"

    @property
    def ref(self) -> Ref:
        """Where the node is kept."""
        return self.record.ref

    @property
    def key(self) -> bytes:
        """The node's immutable key."""
        return self.record.key

    @property
    def owner(self) -> str:
        """The principal that owns the node; empty where there is no logon."""
        return self.record.owner


class Codec:
    """Content to sealed payload and back. The payload is bound to key and kind: it opens in its own row only (E5).

    Content is written as MessagePack or JSON; either is read, so the setting may be changed while sessions live (E6).
    JSON has no bytes: content with any is written as MessagePack whatever the setting.
    """

    def __init__(self, keys: KeyRing, max_payload_bytes: int, serializer: Serializer = "msgpack") -> None:
        self._keys = keys
        self._most = max_payload_bytes
        self._encode = _as_json if serializer == "json" else msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(dict[str, Any]).decode
        self._decode_json = msgspec.json.Decoder(dict[str, Any]).decode

    def seal(self, content: dict[str, Any], key: bytes, kind: str) -> bytes:
        """Return the payload for a node; raise PayloadTooLarge over the limit."""
        plain = self._encode(content)
        if len(plain) > self._most:
            raise PayloadTooLarge(f"the session's content has {len(plain)} bytes; the limit is {self._most}")
        return self._keys.seal(plain, key + kind.encode())

    def open(self, record: Record) -> dict[str, Any]:
        """Return a node's content, or raise Unreadable."""
        plain = self._keys.open(record.payload, record.key + record.kind.encode())
        try:
            return self._decode_json(plain) if plain[:1] == JSON_OBJECT else self._decode(plain)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise Unreadable from exc


def _as_json(content: dict[str, Any]) -> bytes:
    return msgspec.msgpack.encode(content) if _has_bytes(content) else msgspec.json.encode(content)


def _has_bytes(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_bytes(part) for part in value.values())
    if isinstance(value, list | tuple):
        return any(_has_bytes(part) for part in value)
    return isinstance(value, bytes)


def record_of(session: Session, codec: Codec) -> Record:
    """Return the record to write for a session whose content has changed."""
    record = session.record
    return msgspec.structs.replace(record, payload=codec.seal(session.content, record.key, record.kind))


def records_of(sessions: Iterable[Session], codec: Codec) -> list[Record]:
    """Return the records to write for sessions whose content has changed."""
    return [record_of(session, codec) for session in sessions]
