"""The scripts, as texts and digests: each is its own file after the parts that its first line names."""

from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import Final

import msgspec

USES: Final = b"-- uses:"


class Script(msgspec.Struct, frozen=True):
    """One script: a server that does not know its digest is sent its text."""

    name: str
    text: bytes
    digest: bytes


@cache
def script(name: str) -> Script:
    """Return the script in `lua/<name>.lua`."""
    own = _file(name)
    first = own.partition(b"\n")[0]
    parts = ["base", *first.removeprefix(USES).decode().split()] if first.startswith(USES) else []
    text = b"".join([*map(_file, parts), own])
    return Script(name, text, sha1(text, usedforsecurity=False).hexdigest().encode())


def _file(name: str) -> bytes:
    return (files(__package__) / "lua" / f"{name}.lua").read_bytes()
