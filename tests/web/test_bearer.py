"""The static token."""

import hashlib

import pytest

from holdfast.web.bearer import StaticBearer


def test_who_sends_the_token_is_named_by_its_digest() -> None:
    # M12
    digest = hashlib.sha256(b"s3cret").hexdigest()
    assert StaticBearer("s3cret").principal_of(b"Bearer s3cret") == f"token:{digest[:8]}"
    assert StaticBearer("s3cret", principal="build").principal_of(b"bearer  s3cret ") == "build"


@pytest.mark.parametrize("sent", [None, b"", b"Bearer", b"Bearer s3cre", b"Bearer s3crett", b"Basic s3cret", b"s3cret"])
def test_everything_else_is_refused(sent: bytes | None) -> None:
    assert StaticBearer("s3cret").principal_of(sent) is None


def test_without_a_token_everybody_is_nobody() -> None:
    assert StaticBearer().principal_of(None) == ""
    assert StaticBearer(principal="ignored").principal_of(b"Bearer whatever") == ""
