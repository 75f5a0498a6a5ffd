"""An issuer of tokens in the test's own memory: keys, tokens, metadata, and a `fetch` that can be slow or down."""

import json
from collections.abc import Mapping
from typing import Any

import anyio
import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from holdfast.identity.facts import IssuerUnavailable

ISSUER = "https://login.example"
JWKS = f"{ISSUER}/keys"
RESOURCE = "https://mcp.example/mcp"
NOW = 1_800_000_000.0
WRITERS: dict[str, Any] = {"RSA": RSAAlgorithm, "EC": ECAlgorithm, "OKP": OKPAlgorithm}
_RSA = [rsa.generate_private_key(65537, 2048) for _ in range(2)]  # each takes a tenth of a second


def rsa_key(number: int = 0) -> rsa.RSAPrivateKey:
    return _RSA[number]


class Signer:
    """A private key under a name."""

    def __init__(self, kid: str | None = "k1", alg: str = "RS256", key: Any = None) -> None:
        curves = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
        self.kid, self.alg = kid, alg
        if key is None and alg in curves:
            key = ec.generate_private_key(curves[alg])
        elif key is None:
            key = ed25519.Ed25519PrivateKey.generate() if alg == "EdDSA" else rsa_key()
        self.key = key

    def jwk(self, **changed: Any) -> dict[str, Any]:
        kind = {"R": "RSA", "P": "RSA", "E": "EC"}.get(self.alg[0], "RSA") if self.alg != "EdDSA" else "OKP"
        written = WRITERS[kind].to_jwk(self.key.public_key(), as_dict=True)
        named = {"kid": self.kid, "use": "sig", "alg": self.alg}
        said = {**written, **named, **changed}
        return {name: value for name, value in said.items() if value is not None}

    def sign(self, claims: Mapping[str, Any], **header: Any) -> str:
        named = {"typ": "at+jwt", **({"kid": self.kid} if self.kid else {}), **header}
        return jwt.encode(dict(claims), self.key, algorithm=self.alg, headers=named)


def claims(**changed: Any) -> dict[str, Any]:
    """Return what a good token says; None leaves a claim out."""
    good = {
        "iss": ISSUER,
        "sub": "alice",
        "aud": RESOURCE,
        "client_id": "shell",
        "scope": "mcp",
        "iat": NOW - 10,
        "exp": NOW + 300,
    }
    return {name: value for name, value in {**good, **changed}.items() if value is not None}


class Issuer:
    """Answers what is fetched; counts it."""

    def __init__(self, *signers: Signer) -> None:
        self.signers = list(signers) or [Signer()]
        self.fetched: list[str] = []
        self.bearers: list[str] = []
        self.answers: dict[str, bytes] = {}
        self.down = False
        self.gate: anyio.Event | None = None  # while it is there, nothing is answered
        self.forms: list[tuple[dict[str, str], tuple[str, str] | None]] = []

    async def __call__(
        self,
        url: str,
        *,
        limit: int,
        form: Mapping[str, str] | None = None,
        login: tuple[str, str] | None = None,
        bearer: str = "",
    ) -> bytes:
        self.fetched.append(url)
        self.bearers.append(bearer)
        if form is not None:
            self.forms.append((dict(form), login))
        if self.gate is not None:
            await self.gate.wait()
        body = self.answers.get(url) or self._own(url)
        if self.down or body is None or len(body) > limit:
            raise IssuerUnavailable("down, not there, or too long")
        return body

    def _own(self, url: str) -> bytes | None:
        if url == JWKS:
            return json.dumps({"keys": [signer.jwk() for signer in self.signers]}).encode()
        if url == f"{ISSUER}/.well-known/oauth-authorization-server":
            return json.dumps({"issuer": ISSUER, "jwks_uri": JWKS}).encode()
        return None
