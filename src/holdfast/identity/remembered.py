"""What was found out about tokens, so that it is not found out with every request. Tokens themselves are not kept."""

import hashlib
from typing import Final, Generic, TypeVar

from holdfast.core import remembered

MOST: Final = 4096
Found = TypeVar("Found")


class Remembered(Generic[Found]):
    """Findings by token; of more than so many the least used are forgotten."""

    def __init__(self, most: int = MOST) -> None:
        self._found = remembered.Remembered[bytes, Found](most)

    def __len__(self) -> int:
        return len(self._found)

    def of(self, token: str) -> Found | None:
        """Return what was found out about a token, None if nothing was."""
        digest = _digest(token)
        found = self._found.get(digest)
        if found is not None:
            self._found.move_to_end(digest)
        return found

    def keep(self, token: str, found: Found) -> None:
        """Remember what was found out."""
        self._found[_digest(token)] = found


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
