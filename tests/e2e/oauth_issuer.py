"""An authorization server as a process of its own: discovery, registration, code flow with PKCE, refresh.

python oauth_issuer.py PORT SECONDS, where SECONDS are how long its access tokens last. Who logs on is said in the
authorization request, as `user`; consent is given by itself. It refuses what OAuth 2.1 forbids, so that a client that
leaves out PKCE or the resource gets no token.
"""

import base64
import hashlib
import secrets
import sys
import time
from typing import Any
from urllib.parse import urlencode

import jwt
import uvicorn
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

PORT, LIFETIME = int(sys.argv[1]), float(sys.argv[2])
ISSUER = f"http://127.0.0.1:{PORT}"
CODE = "code"


KEY, KID = ec.generate_private_key(ec.SECP256R1()), "one"
clients: dict[str, dict[str, Any]] = {}
grants: dict[str, dict[str, str]] = {}  # by code, and by refresh token
asked = {"metadata": 0, "keys": 0}


async def metadata(request: Request) -> Response:
    asked["metadata"] += 1
    return JSONResponse(
        {
            "issuer": ISSUER,
            "authorization_endpoint": f"{ISSUER}/authorize",
            "token_endpoint": f"{ISSUER}/token",
            "registration_endpoint": f"{ISSUER}/register",
            "jwks_uri": f"{ISSUER}/keys",
            "response_types_supported": [CODE],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none"],
            "authorization_response_iss_parameter_supported": True,
            "scopes_supported": ["mcp", "write"],
        }
    )


async def jwks(request: Request) -> Response:
    asked["keys"] += 1
    key = ECAlgorithm.to_jwk(KEY.public_key(), as_dict=True)
    return JSONResponse({"keys": [{**key, "kid": KID, "use": "sig", "alg": "ES256"}]})


async def register(request: Request) -> Response:
    client = {**await request.json(), "client_id": f"client-{len(clients)}", "token_endpoint_auth_method": "none"}
    clients[client["client_id"]] = client
    return JSONResponse(client, 201)


async def authorize(request: Request) -> Response:
    sent = dict(request.query_params)
    client = clients.get(sent.get("client_id", ""))
    if client is None or sent.get("redirect_uri") not in client["redirect_uris"]:
        return JSONResponse({"error": "invalid_client"}, 400)
    if sent.get("code_challenge_method") != "S256" or not sent.get("resource") or "user" not in sent:
        return JSONResponse({"error": "invalid_request"}, 400)
    code = secrets.token_urlsafe(16)
    grants[code] = {**sent, "at": str(time.time())}
    back = urlencode({CODE: code, "state": sent.get("state", ""), "iss": ISSUER})
    return RedirectResponse(f"{sent['redirect_uri']}?{back}", 302)


async def token(request: Request) -> Response:
    sent = {name: str(value) for name, value in (await request.form()).items()}
    refreshes = sent.get("grant_type") == "refresh_token"
    grant = grants.pop(sent.get("refresh_token" if refreshes else CODE, ""), None)
    if grant is None or grant["client_id"] != sent.get("client_id") or grant["resource"] != sent.get("resource"):
        return JSONResponse({"error": "invalid_grant"}, 400)
    if not refreshes and not _proves(sent.get("code_verifier", ""), grant["code_challenge"]):
        return JSONResponse({"error": "invalid_grant"}, 400)
    again = secrets.token_urlsafe(16)
    grants[again] = grant
    answer = {"access_token": access_token(grant), "token_type": "Bearer", "expires_in": int(LIFETIME)}
    return JSONResponse({**answer, "refresh_token": again, "scope": grant.get("scope", "")})


def _proves(verifier: str, challenge: str) -> bool:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode() == challenge


def access_token(grant: dict[str, str]) -> str:
    now = time.time()
    said = {"iss": ISSUER, "sub": grant["user"], "aud": grant["resource"], "client_id": grant["client_id"]}
    times = {"iat": now, "exp": now + LIFETIME, "auth_time": float(grant["at"])}
    claims = {**said, **times, "scope": grant.get("scope", ""), "jti": secrets.token_hex(4)}
    return jwt.encode(claims, KEY, algorithm="ES256", headers={"kid": KID, "typ": "at+jwt"})


async def counted(request: Request) -> Response:
    return JSONResponse(asked)


app = Starlette(
    routes=[
        Route("/.well-known/oauth-authorization-server", metadata),
        Route("/keys", jwks),
        Route("/register", register, methods=["POST"]),
        Route("/authorize", authorize),
        Route("/token", token, methods=["POST"]),
        Route("/test/asked", counted),
    ]
)

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="warning")
