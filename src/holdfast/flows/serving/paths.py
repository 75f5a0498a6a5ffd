"""Paths of the HTTP server at which flows answer: those of HTTP senders, and of adapters that are called back.

An adapter offers its path when it is prepared: `means.paths.offer("/mdn", Place(answer=…, owner=…, anonymous=True))`;
the adapters of several steps share their receiver's path, so whatever they have to know is in the store.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec

from holdfast.core.session import Session
from holdfast.errors import ConfigurationError

PATH: Final = r"^(/[A-Za-z0-9._~-]+)+$"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A request; the names of its headers are in lower case, `query` is raw, `principal` empty for nobody.

    `logon` is that of the person whose token came with it, if it is a person's.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = {}
    body: bytes = b""
    principal: str = ""
    logon: Session | None = None


class Told(msgspec.Struct, frozen=True):
    """The answer to a request."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = {}


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """What is at a path.

    Args:
        answer: Answers a request. A HoldfastError that it raises is told as problem JSON.
        owner: Whose it is: the flow's name, and the receiver's if it is one's.
        methods: Other ones are answered 405.
        anonymous: Whoever calls need not log on at the server.
        max_body: Bytes of the largest body; None: the server's own limit.
    """

    answer: Callable[[Asked], Awaitable[Told]]
    owner: str
    methods: tuple[str, ...] = ("POST",)
    anonymous: bool = False
    max_body: int | None = None


class Paths:
    """The places of one server, by their path below the prefix of all flows."""

    def __init__(self) -> None:
        self._places: dict[str, Place] = {}

    def offer(self, path: str, place: Place) -> None:
        """Answer at a path; a later offer of the same owner takes the place of the first.

        Raises ConfigurationError: another owner answers there, or nothing is served at all.
        """
        there = self._places.setdefault(path, place)
        if there.owner != place.owner:
            raise ConfigurationError(f"the path {path} is that of {there.owner} already")
        self._places[path] = place

    def at(self, path: str) -> Place | None:
        """Return what is at a path."""
        return self._places.get(path)


class NoPaths(Paths):
    """The places where no server runs."""

    def offer(self, path: str, place: Place) -> None:
        """Refuse."""
        raise ConfigurationError(
            f"{place.owner} has to answer at {path}, and no server runs", hint="Run the flow with `holdfast serve`."
        )
