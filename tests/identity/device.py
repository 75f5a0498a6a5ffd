"""A device with a key that signs proofs, as browsers with Device Bound Session Credentials have."""

from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from identity.issuer import rsa_key


class SigningDevice:
    """Makes proofs; what is given for the header and the claims is as given, None leaves it out."""

    def __init__(self, algorithm: str = "ES256", key: Any = None) -> None:
        self.algorithm = algorithm
        self.key = key or (ec.generate_private_key(ec.SECP256R1()) if algorithm == "ES256" else rsa_key())

    def jwk(self) -> dict[str, Any]:
        kind: Any = ECAlgorithm if self.algorithm == "ES256" else RSAAlgorithm
        return dict(kind.to_jwk(self.key.public_key(), as_dict=True))

    def proof(self, challenge: Any, **header: Any) -> str:
        claims = {} if challenge is None else {"jti": challenge}
        return jwt.encode(claims, self.key, algorithm=self.algorithm, headers={"typ": "dbsc+jwt", **header})

    def first(self, challenge: Any, **header: Any) -> str:
        """Return the proof that brings the key."""
        return self.proof(challenge, **{"jwk": self.jwk(), **header})
