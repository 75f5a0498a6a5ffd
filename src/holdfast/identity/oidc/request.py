"""The request that sends a browser to its provider: authorization code with PKCE (OIDC Core §3.1, RFC 7636)."""

import base64
import hashlib
import secrets
from collections.abc import Collection, Mapping
from urllib.parse import urlencode

import msgspec


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked of a provider for one browser; what comes back is held against it. A secret of this side.

    Args:
        nonce: What the ID token must repeat.
        verifier: Proves that the code is redeemed by who asked for it.
        max_age: How many seconds ago the person must have proved who they are, at most; None for any time.
    """

    nonce: str
    verifier: str
    max_age: float | None = None

    @classmethod
    def fresh(cls, *, max_age: float | None = None) -> "Asked":
        """Return a request with a nonce and a verifier that nobody knows."""
        return cls(nonce=secrets.token_urlsafe(32), verifier=secrets.token_urlsafe(48), max_age=max_age)

    @property
    def challenge(self) -> str:
        """What of the verifier may be seen (RFC 7636 §4.2, S256)."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    def parameters(
        self, *, client_id: str, redirect_uri: str, scopes: Collection[str], state: str, prompt: str = "", acr: str = ""
    ) -> dict[str, str]:
        """Return the parameters of the authorization request; `acr` are the classes that would do, best first."""
        said = {
            "response_type": "code",
            "client_id": client_id,
            "redirect_uri": redirect_uri,
            "scope": " ".join(dict.fromkeys(["openid", *scopes])),
            "state": state,
            "nonce": self.nonce,
            "code_challenge": self.challenge,
            "code_challenge_method": "S256",
            "max_age": "" if self.max_age is None else f"{self.max_age:.0f}",
            "prompt": prompt,
            "acr_values": acr,
        }
        return {name: value for name, value in said.items() if value}


def with_query(url: str, parameters: Mapping[str, str]) -> str:
    """Return an endpoint's address with parameters; it may have a query of its own (RFC 6749 §3.1)."""
    return f"{url}{'&' if '?' in url else '?'}{urlencode(parameters)}"
