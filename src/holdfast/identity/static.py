"""A static bearer token: who sends it is one principal.

It is compared in constant time and never shown; the principal is named by configuration or by eight hexadecimal digits
of the token's SHA-256.
"""

import hashlib
import hmac

from holdfast.identity.facts import Identity, InvalidToken


class StaticToken:
    """Knows one token, which allows everything."""

    def __init__(self, token: str, *, principal: str = "") -> None:
        self._token = token.encode()
        digest = hashlib.sha256(self._token).hexdigest()
        self.identity = Identity(subject=principal or f"token:{digest[:8]}")

    async def verify(self, token: str) -> Identity:
        """Return who sends the token; raise InvalidToken for any other."""
        if not hmac.compare_digest(token.encode(), self._token):
            raise InvalidToken("the token is not the one that is accepted here")
        return self.identity
