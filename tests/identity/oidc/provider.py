"""An OpenID provider in the test's own memory: what it says of itself, and good tokens but for what is changed."""

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from holdfast.config import OidcSettings
from holdfast.identity.facts import IssuerRefused
from holdfast.identity.oidc import Asked, RelyingParty
from holdfast.testing.clock import Clock
from identity.issuer import ISSUER, JWKS, NOW, Issuer, Signer

CLIENT = "shop"
SITE = "https://shop.example/oidc"
TOKENS = f"{ISSUER}/token?v=2"
USERINFO = f"{ISSUER}/me"
EVENT = "http://schemas.openid.net/event/backchannel-logout"
DISCOVERY = f"{ISSUER}/.well-known/openid-configuration"
METADATA: dict[str, Any] = {
    "issuer": ISSUER,
    "jwks_uri": JWKS,
    "authorization_endpoint": f"{ISSUER}/authorize?tenant=1",
    "token_endpoint": TOKENS,
    "end_session_endpoint": f"{ISSUER}/logout",
    "userinfo_endpoint": USERINFO,
}


def without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def half_hash(token: str, algorithm: str = "sha256") -> str:
    digest = hashlib.new(algorithm, token.encode()).digest()
    return base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()


def id_claims(asked: Asked, **changed: Any) -> dict[str, Any]:
    """Return what a good ID token says; None leaves a claim out."""
    good = {
        "iss": ISSUER,
        "sub": "ann",
        "aud": CLIENT,
        "exp": NOW + 300,
        "iat": NOW - 1,
        "nonce": asked.nonce,
        "auth_time": NOW - 20,
        "sid": "s1",
        "at_hash": half_hash("access"),
        "name": "Ann Lee",
        "roles": ["clerk"],
    }
    return without_none({**good, **changed})


def logout_claims(**changed: Any) -> dict[str, Any]:
    """Return what a good logout token says; None leaves a claim out."""
    good = {
        "iss": ISSUER,
        "aud": CLIENT,
        "iat": NOW - 1,
        "exp": NOW + 120,
        "jti": "j1",
        "sub": "ann",
        "sid": "s1",
        "events": {EVENT: {}},
    }
    return without_none({**good, **changed})


def id_token(signer: Signer, claims: Mapping[str, Any], **header: Any) -> str:
    return signer.sign(claims, **{"typ": "JWT", **header})


def logout_token(signer: Signer, claims: Mapping[str, Any], **header: Any) -> str:
    return signer.sign(claims, **{"typ": "logout+jwt", **header})


class Provider(Issuer):
    """Gives an ID token for each code it was told of, once and for the right verifier."""

    def __init__(self, *signers: Signer, **metadata: Any) -> None:
        super().__init__(*signers)
        self.metadata = {**METADATA, **metadata}
        self.codes: dict[str, tuple[str, str]] = {}  # code -> challenge, ID token

    def gives(self, code: str, asked: Asked, token: str = "", **changed: Any) -> None:
        self.codes[code] = (asked.challenge, token or id_token(self.signers[0], id_claims(asked, **changed)))

    def challenged(self, code: str, challenge: str, token: str) -> None:
        self.codes[code] = (challenge, token)

    def _own(self, url: str) -> bytes | None:
        if url == DISCOVERY:
            return json.dumps(without_none(self.metadata)).encode()
        return self._redeem() if url == TOKENS else super()._own(url)

    def _redeem(self) -> bytes:
        form, _ = self.forms[-1]
        challenge, token = self.codes.pop(form["code"], ("", ""))
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        if not token or base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != challenge:
            raise IssuerRefused("the issuer answers 400")
        return json.dumps({"id_token": token, "access_token": "access", "token_type": "Bearer"}).encode()


def oidc(**changed: Any) -> OidcSettings:
    return OidcSettings(
        **{"issuer": ISSUER, "client_id": CLIENT, "client_secret": "pa:ss/wörd", "url": SITE, **changed}
    )


def party(provider: Provider, *, clock: Clock | None = None, **changed: Any) -> RelyingParty:
    clock = clock or Clock(NOW)
    return RelyingParty(provider, oidc(**changed), clock=clock, monotonic=clock)


class Seen:
    """Says once of each name whether it is the first time."""

    def __init__(self) -> None:
        self.names: dict[str, float] = {}

    async def __call__(self, name: str, ttl: float) -> bool:
        fresh = name not in self.names
        self.names.setdefault(name, ttl)
        return fresh
