"""The scripts, as texts and digests: each file's first line names the parts that go before it, and its shard's keys.

A line `-- includes: list clocks` within a script brings parts to that place: inside a function, they cost nothing until
it is called.
"""

import re
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import Final

import msgspec

FIRST: Final = re.compile(rb"-- uses: *(?P<parts>[a-z ]*); keys: (?P<keys>\d)\n")
INCLUDES: Final = re.compile(rb"^ *-- includes: ([a-z ]+)\n", re.MULTILINE)


class Script(msgspec.Struct, frozen=True):
    """One script: a server that does not know its digest is sent its text."""

    name: str
    text: bytes
    digest: bytes
    keys: int  # of its shard, that it declares


@cache
def script(name: str) -> Script:
    """Return the script in `lua/<name>.lua`."""
    own = INCLUDES.sub(lambda found: _parts(found[1]), _file(name))
    first = FIRST.match(own)
    text = own if first is None else _parts(b"base " + first["parts"]) + own
    digest = sha1(text, usedforsecurity=False).hexdigest().encode()
    return Script(name, text, digest, 0 if first is None else int(first["keys"]))


def _parts(names: bytes) -> bytes:
    return b"".join(_file(name) for name in names.decode().split())


def _file(name: str) -> bytes:
    return (files(__package__) / "lua" / f"{name}.lua").read_bytes()
