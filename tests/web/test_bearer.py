"""The bearer token: who comes in, and what is told to who may not."""

import hashlib

import pytest

from holdfast.identity.facts import Identity, InsufficientScope, InvalidToken, TokenMissing
from holdfast.web.bearer import Bearer, StaticBearer
from holdfast.web.oauth import ProtectedResource

RESOURCE = ProtectedResource("https://mcp.example/mcp", ["https://login.example"], scopes=["read", "write"])
METADATA = "https://mcp.example/.well-known/oauth-protected-resource/mcp"


class Known:
    """Knows one token."""

    def __init__(self, *scopes: str) -> None:
        self.identity = Identity(subject="alice", scopes=frozenset(scopes))

    async def verify(self, token: str) -> Identity:
        if token != "good":
            raise InvalidToken('the token is "bad"\r\nx: y')
        return self.identity


async def test_who_sends_the_token_is_named_by_its_digest() -> None:
    # M12
    digest = hashlib.sha256(b"s3cret").hexdigest()
    assert (await StaticBearer("s3cret").identity_of(b"Bearer s3cret")).principal == f"token:{digest[:8]}"
    assert (await StaticBearer("s3cret", principal="build").identity_of(b"bearer  s3cret ")).principal == "build"
    assert (await StaticBearer("sécret", principal="b").identity_of("Bearer sécret".encode())).principal == "b"


@pytest.mark.parametrize("sent", [None, b"", b"Bearer", b"Bearer  ", b"Basic s3cret", b"s3cret"])
async def test_who_sends_no_bearer_token_is_told_so(sent: bytes | None) -> None:
    with pytest.raises(TokenMissing):
        await StaticBearer("s3cret").identity_of(sent)


@pytest.mark.parametrize("sent", [b"Bearer s3cre", b"Bearer s3crett", b"Bearer a, Bearer s3cret", b"Bearer \xff\xfe"])
async def test_any_other_token_is_refused(sent: bytes) -> None:
    with pytest.raises(InvalidToken):
        await StaticBearer("s3cret").identity_of(sent)


async def test_without_a_verifier_everybody_is_nobody() -> None:
    assert (await StaticBearer().identity_of(None)).principal == ""
    assert (await StaticBearer(principal="ignored").identity_of(b"Bearer whatever")).principal == ""


async def test_a_token_must_have_the_scopes_that_all_need() -> None:
    bearer = Bearer(Known("read", "other"), resource=RESOURCE, scopes=["read", "write"])
    with pytest.raises(InsufficientScope) as refused:
        await bearer.identity_of(b"Bearer good")
    assert (refused.value.scopes, str(refused.value)) == ({"read", "write"}, "the token does not allow write")
    assert await Bearer(Known("read"), scopes=["read"]).identity_of(b"Bearer good")


def test_a_step_up_asks_for_what_the_old_token_allowed_too() -> None:
    # a client that asks for exactly these scopes loses nothing it had
    bearer = Bearer(Known(), resource=RESOURCE)
    refused = bearer.denied(Identity(subject="alice", scopes=frozenset({"read", "of another server"})), ["write"])
    assert refused.scopes == {"read", "write"}


async def test_a_challenge_says_why_what_for_and_where() -> None:
    # RFC 6750 §3, RFC 9728 §5.1; who sent no token is told of no error
    bearer = Bearer(Known(), resource=RESOURCE, scopes=["read"])
    told = []
    for sent in (None, b"Bearer bad"):
        with pytest.raises(InvalidToken) as refused:
            await bearer.identity_of(sent)
        told.append(bearer.challenge(refused.value)[1].decode())
    assert told == [
        f'Bearer realm="holdfast", scope="read", resource_metadata="{METADATA}"',
        'Bearer realm="holdfast", error="invalid_token", error_description="the token is \'bad\'\'\'x: y", '
        f'scope="read", resource_metadata="{METADATA}"',
    ]
    assert StaticBearer("x").challenge(TokenMissing(""))[1] == b'Bearer realm="holdfast"'
