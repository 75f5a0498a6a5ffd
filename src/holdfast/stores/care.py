"""What an operator does with a store besides using it: migrate, check, stats. Each store has its own `Care`."""

from collections.abc import Mapping
from typing import Protocol

import msgspec


class Finding(msgspec.Struct, frozen=True):
    """Something about a store or its server that an operator should know or mend.

    `serious` says that a promise does not hold while it is so; the command's exit code tells.
    """

    code: str
    text: str
    hint: str = ""
    serious: bool = True


class Care(Protocol):
    """Looks after one namespace of a store. Every method may raise `StoreUnavailable`."""

    async def migrate(self) -> list[str]:
        """Create or update what the store needs at its server; return what was done, nothing if nothing was left to do.

        It may be run at any time, by several at once.
        """
        ...

    async def check(self) -> list[Finding]:
        """Look at the server's settings and at the stored nodes and indexes; return what is wrong."""
        ...

    async def stats(self) -> Mapping[str, int | float | str]:
        """Return figures: nodes by kind and state, bytes, what is due, the server's version and settings of note."""
        ...
