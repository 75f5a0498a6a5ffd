"""A static bearer token: who sends it is one principal, everybody else is nobody.

The token is compared in constant time and never shown; the principal is named by configuration or by eight
hexadecimal digits of the token's SHA-256.
"""

import hashlib
import hmac


class StaticBearer:
    """Checks `Authorization: Bearer …` against one token; an empty token lets everybody in without a name."""

    def __init__(self, token: str = "", *, principal: str = "") -> None:
        self._token = token.encode()
        digest = hashlib.sha256(self._token).hexdigest()
        self.principal = (principal or f"token:{digest[:8]}") if token else ""
        self.challenge = b'Bearer realm="holdfast"'

    def principal_of(self, authorization: bytes | None) -> str | None:
        """Return who sends this `Authorization` header; an empty name without authentication, None if refused."""
        if not self._token:
            return ""
        scheme, _, sent = (authorization or b"").partition(b" ")
        known = hmac.compare_digest(sent.strip(), self._token)
        return self.principal if known and scheme.lower() == b"bearer" else None
