"""How fast logout tokens are verified, and told to a server: OpenID Connect Back-Channel Logout.

python bench/oidc_logout.py [TOKENS]

Prints one JSON line per algorithm: microseconds to verify one token, claims and replay included (median of five);
then one line for the whole endpoint, in process on SQLite, where each token ends a logon with two HTTP sessions.
"""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from holdfast._asgi import Message
from holdfast.config import OidcSettings, Settings
from holdfast.core.sealing import KeyRing, new_key_text
from holdfast.engine import open_engine
from holdfast.identity.oidc import RelyingParty
from holdfast.web.kinds import KINDS
from holdfast.web.oidc import Oidc
from holdfast.web.security import Logon
from holdfast.web.site import Security

ISSUER = "https://login.example"
EVENT = "http://schemas.openid.net/event/backchannel-logout"
ROUNDS = 5
KEYS: dict[str, tuple[Any, Any]] = {
    "RS256": (rsa.generate_private_key(65537, 2048), RSAAlgorithm),
    "ES256": (ec.generate_private_key(ec.SECP256R1()), ECAlgorithm),
    "EdDSA": (ed25519.Ed25519PrivateKey.generate(), OKPAlgorithm),
}
SETTINGS = OidcSettings(issuer=ISSUER, client_id="shop", client_secret="x", url="https://shop.example/oidc")


async def fetch(
    url: str,
    *,
    limit: int,
    form: Mapping[str, str] | None = None,
    login: tuple[str, str] | None = None,
    bearer: str = "",
) -> bytes:
    """Answer as the provider."""
    if url.endswith("/keys"):
        written = [{**kind.to_jwk(key.public_key(), as_dict=True), "kid": alg} for alg, (key, kind) in KEYS.items()]
        return json.dumps({"keys": written}).encode()
    return json.dumps({"issuer": ISSUER, "jwks_uri": f"{ISSUER}/keys"}).encode()


def token(algorithm: str, number: int) -> str:
    """Return a token that ends session `number` of the provider's."""
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "aud": "shop",
        "iat": now,
        "exp": now + 120,
        "jti": f"{algorithm}{number}",
        "events": {EVENT: {}},
    }
    key, _ = KEYS[algorithm]
    head = {"typ": "logout+jwt", "kid": algorithm}
    return jwt.encode({**claims, "sid": f"s{number}"}, key, algorithm=algorithm, headers=head)


async def verified(count: int) -> None:
    """Measure verification alone."""
    for algorithm in KEYS:
        party, tokens, rounds = RelyingParty(fetch, SETTINGS), [token(algorithm, n) for n in range(count)], []
        for _ in range(ROUNDS):
            seen: set[str] = set()

            async def once(name: str, ttl: float, seen: set[str] = seen) -> bool:
                return name not in seen and not seen.add(name)

            await party.logged_out(token(algorithm, -1), once)  # the keys are there
            began = time.process_time()
            for one in tokens:
                await party.logged_out(one, once)
            rounds.append((time.process_time() - began) / count)
        median = statistics.median(rounds)
        print(json.dumps({"verify": algorithm, "us": round(median * 1e6, 1), "per_s": round(1 / median)}))


async def told(count: int, folder: Path) -> None:
    """Measure the endpoint, one token after the other."""
    async with open_engine(
        f"sqlite:///{folder / 'bench.db'}", kinds=KINDS, keys=KeyRing.parse(new_key_text()), settings=Settings()
    ) as engine:
        security = Security(engine=engine)
        logons = (await security.opened.get()).logons
        for number in range(count):
            node = await logons.begin(
                Logon(issuer=ISSUER, subject=f"p{number}", sid=f"s{number}", method="oidc", at=time.time())
            )
            for app in ("shop", "bank"):
                await logons.open_http(app, below=node)
        pages, tokens, times = Oidc(security, SETTINGS, fetch=fetch), [token("RS256", n) for n in range(count)], []
        used = time.process_time()
        for one in tokens:
            began = time.perf_counter()
            assert await status(pages, one) == 200
            times.append(time.perf_counter() - began)
        cpu = (time.process_time() - used) / count
        await security.opened.aclose()
    shown = {"median_ms": round(statistics.median(times) * 1e3, 2), "cpu_ms": round(cpu * 1e3, 2)}
    print(json.dumps({"endpoint": "RS256, SQLite", **shown}))


async def status(pages: Oidc, one: str) -> int:
    """Post a token, and return the answer's status."""
    answers: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": f"logout_token={one}".encode()}

    async def send(message: Message) -> None:
        answers.append(message)

    head = [(b"content-type", b"application/x-www-form-urlencoded")]
    scope = {"type": "http", "method": "POST", "path": "/backchannel-logout", "query_string": b"", "headers": head}
    await pages(scope, receive, send)
    return int(answers[0]["status"])


async def main(count: int) -> None:
    """Measure both."""
    await verified(count)
    with tempfile.TemporaryDirectory() as folder:
        await told(count, Path(folder))


if __name__ == "__main__":
    anyio.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
