"""Device Bound Session Credentials: what a browser proves with a key of its device, and what is kept of it (R52, R53).

A proof is a JWT that the browser signs with a key which does not leave its device; its `jti` is a challenge of ours.
The first one brings the public key, later ones must fit it. The rules are those of the W3C's editor's draft of
February 2026. A challenge is of one device and good once; for a few seconds the one before is taken as well, as two
requests for a fresh cookie may cross.
"""

import hmac
from typing import Any, Final

import jwt
import msgspec

from holdfast.identity.claims import checked_length
from holdfast.identity.facts import InvalidToken
from holdfast.identity.keys import Key, read_key

ALGORITHMS: Final = ("ES256", "RS256")
TYPE: Final = "dbsc+jwt"
CROSSING_S: Final = 10.0  # for which the challenge before is taken
LEFT_S: Final = 60.0  # that a challenge is good for at least when it is handed out again
PUBLIC: Final = ("kty", "crv", "x", "y", "n", "e")  # of a key, all that is kept

_JWS: Final = jwt.PyJWS(algorithms=list(ALGORITHMS))


class ProofRefused(InvalidToken):
    """The proof is none that is taken here."""

    code = "device_proof_refused"
    default_hint = "Log on again."


class ForeignKey(ProofRefused):
    """The proof is signed with another key than the device's: who sends it has not got the device."""

    code = "device_key_foreign"


class _Header(msgspec.Struct, frozen=True):
    alg: str
    typ: str
    jwk: dict[str, Any] | None = None
    crit: None = None  # extensions that must be understood: none is


class _Claims(msgspec.Struct, frozen=True):
    jti: str


class DeviceKey(msgspec.Struct, frozen=True):
    """The public key of a device: the algorithm it signs with, and the key as JSON (JWK)."""

    algorithm: str
    jwk: str


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """What a logon keeps of the device it is bound to. Times are Unix seconds.

    Args:
        id: What the browser calls the binding: the draft's session identifier.
        key: What its proofs have to fit.
        bound_at: Since when.
        proven_at: When the device last had a fresh cookie.
        challenge: What the next proof has to hold, until `ends_at`.
        before: The challenge before, until `before_ends_at`.
    """

    id: str
    key: DeviceKey
    bound_at: float
    proven_at: float
    challenge: str = ""
    ends_at: float = 0.0
    before: str = ""
    before_ends_at: float = 0.0

    def asked(self, fresh: str, now: float, lifetime: float) -> "Device":
        """Return the device with a challenge to hand out: the present one while it is good, else the `fresh` one."""
        return self if self.ends_at - now >= LEFT_S else self._turned(fresh, now, lifetime)

    def asks(self, challenge: str, now: float) -> bool:
        """Say whether a proof with this challenge is taken now."""
        return (now < self.ends_at and _same(challenge, self.challenge)) or self._crossed(challenge, now)

    def proven(self, challenge: str, fresh: str, now: float, lifetime: float) -> "Device":
        """Return the device after a proof that was taken: its challenge is spent, and the `fresh` one is asked next.

        After a proof that has crossed another one, the challenge that was handed out since stays.
        """
        device = msgspec.structs.replace(self, proven_at=now)
        return device if self._crossed(challenge, now) else device._turned(fresh, now, lifetime)

    def _crossed(self, challenge: str, now: float) -> bool:
        return now < self.before_ends_at and _same(challenge, self.before)

    def _turned(self, fresh: str, now: float, lifetime: float) -> "Device":
        return msgspec.structs.replace(
            self,
            challenge=fresh,
            ends_at=now + lifetime,
            before=self.challenge,
            before_ends_at=min(self.ends_at, now + CROSSING_S),
        )


def read_registration(proof: str) -> tuple[DeviceKey, str]:
    """Return the key that a browser registers, and the challenge that it has signed with it.

    Raises:
        ProofRefused: It is no such proof, brings no key that is taken, or is not signed with the one it brings.
    """
    header = _header(proof)
    if header.jwk is None:
        raise ProofRefused("the proof brings no key")
    public = {name: header.jwk[name] for name in PUBLIC if name in header.jwk}
    key = DeviceKey(header.alg, msgspec.json.encode(public).decode())
    return key, _challenge(_signed(proof, key))


def read_refresh(proof: str, key: DeviceKey) -> str:
    """Return the challenge that a browser has signed with the key of its device.

    Raises:
        ForeignKey: It is signed with another one.
        ProofRefused: It is no such proof, or brings a key, which only the first one may.
    """
    header = _header(proof)
    if header.jwk is not None:
        raise ProofRefused("the proof brings a key, where the one that is known counts")
    if header.alg != key.algorithm:
        raise ForeignKey("the proof is signed with another algorithm than the device's")
    return _challenge(_signed(proof, key))


def _header(proof: str) -> _Header:
    try:
        header = msgspec.convert(_JWS.get_unverified_header(checked_length(proof)), _Header)
    except (jwt.PyJWTError, msgspec.ValidationError, ValueError, RecursionError):
        raise ProofRefused("the proof is no signed JWT of its kind") from None
    if header.alg not in ALGORITHMS or header.typ != TYPE:
        raise ProofRefused(f"a proof has the type {TYPE} and is signed by {' or '.join(ALGORITHMS)}")
    return header


def _signed(proof: str, key: DeviceKey) -> bytes:
    """Return what was signed with a key."""
    try:
        payload: bytes = _JWS.decode_complete(proof, _read(key).public, algorithms=[key.algorithm])["payload"]
    except (jwt.PyJWTError, ValueError, TypeError):
        raise ForeignKey("the proof is not signed with the key of the device") from None
    return payload


def _read(key: DeviceKey) -> Key:
    read = read_key(key.jwk.encode())
    if read is None or key.algorithm not in read.algorithms:
        raise ProofRefused(f"the device's key is none of {key.algorithm} that is strong enough")
    return read


def _challenge(payload: bytes) -> str:
    try:
        return msgspec.json.decode(payload, type=_Claims).jti
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ProofRefused("the proof names no challenge") from None


def _same(one: str, other: str) -> bool:
    return bool(one) and hmac.compare_digest(one.encode(), other.encode())
