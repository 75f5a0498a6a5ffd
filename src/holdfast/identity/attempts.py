"""How often a logon may fail, counted over all workers: for an account, an address, and the two together (R75).

Who guesses the passwords of one account from one address is stopped soon; who spreads guesses over addresses, or over
accounts, later. An account that somebody else is guessing at stays open to its owner's own address for longer than to
theirs. A name that nobody has is counted as any other: the answer tells nothing about it.
"""

import hashlib
from collections.abc import Callable
from typing import Final

import msgspec

from holdfast.core.ports import Counters
from holdfast.errors import HoldfastError

WINDOW_S: Final = 600.0


class TooManyAttempts(HoldfastError):
    """Too many logons have failed; `retry_after` is in how many seconds one may be tried again, at the latest."""

    code = "too_many_attempts"
    status = 429
    default_hint = "Wait, then try again; somebody else may be trying your name."

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Most(msgspec.Struct, frozen=True, kw_only=True):
    """How many logons may fail within `window` seconds."""

    pair: int = 10
    account: int = 100
    address: int = 50
    window: float = WINDOW_S


class Attempts:
    """Counts attempts before they are made, and takes back those that succeed: guesses made at once all count."""

    def __init__(self, counters: Counters, *, clock: Callable[[], float], most: Most | None = None) -> None:
        self._counters, self._clock, self._most = counters, clock, most or Most()

    async def begin(self, account: str, address: str) -> None:
        """Count an attempt; raise TooManyAttempts if it may not be made."""
        now, full = self._clock(), False
        for name, most in self._counted(account, address):
            full |= await self._counters.add(name, now=now, ttl=self._most.window) > most
        if full:
            raise TooManyAttempts("too many logons have failed", retry_after=self._most.window)

    async def succeeded(self, account: str, address: str) -> None:
        """Take an attempt back."""
        now = self._clock()
        for name, _ in self._counted(account, address):
            await self._counters.add(name, -1, now=now, ttl=self._most.window)

    def _counted(self, account: str, address: str) -> list[tuple[str, int]]:
        most = self._most
        return [
            (_name("pair", account, address), most.pair),
            (_name("account", account), most.account),
            (_name("address", address), most.address),
        ]


def _name(what: str, *parts: str) -> str:
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()[:32]
    return f"logon.{what}.{digest}"
