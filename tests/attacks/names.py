"""Who one is in these attacks: whoever one says."""

from holdfast.identity.facts import Identity
from holdfast.web.bearer import Bearer


class ByName(Bearer):
    """`Bearer ann.7` is ann, with whatever token she has just got; without a token one is nobody."""

    async def identity_of(self, authorization: bytes | None) -> Identity:
        return Identity(subject=(authorization or b"").removeprefix(b"Bearer ").partition(b".")[0].decode())
