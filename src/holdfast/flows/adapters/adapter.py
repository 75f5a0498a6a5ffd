"""What an adapter is: it speaks the protocol of one receiver."""

import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import httpx2
import msgspec

from holdfast.core.manager import Manager
from holdfast.errors import ConfigurationError
from holdfast.flows.message import Message
from holdfast.flows.parts import Retry
from holdfast.flows.serving.paths import NoPaths, Paths
from holdfast.flows.sessions.scopes import Channel


class Credential(msgspec.Struct, frozen=True):
    """What a name in a flow's `auth` stands for; for `bearer` the secret is the token."""

    user: str
    secret: str

    def __repr__(self) -> str:
        """Never show the secret."""
        return f"Credential({self.user!r})"


Credentials = Callable[[str], Credential]


def no_credentials(name: str) -> Credential:
    """Know none."""
    raise ConfigurationError(f"there is no credential {name!r}", hint="Give the flow its credentials.")


class Means(msgspec.Struct, frozen=True):
    """What an adapter may need besides its settings.

    Args:
        credentials: What the names in `auth` stand for.
        folder: Where the flow's file is: names of files in its settings are relative to it.
        clock: Seconds since 1970.
        paths: Where the server answers, for adapters that are called back.
        manager: Of the engine, for what has to be known at every worker; None where there is none.
        shared: What the adapters of one deployment load once for all of them, such as a WSDL.
    """

    credentials: Credentials = no_credentials
    folder: Path = Path()
    clock: Callable[[], float] = time.time
    paths: Paths = NoPaths()
    manager: Manager | None = None
    shared: dict[tuple[str, ...], Any] = {}


class Adapter(Protocol):
    """Speaks the protocol of one receiver. Cookies and their sessions are none of its business.

    `channel` says what the re-use of sessions has to know, `timeout` is in seconds.
    """

    channel: Channel
    timeout: float
    retry: Retry

    async def prepare(self) -> None:
        """Load what calls need, once, when the flow is deployed. Raises ConfigurationError: what is wrong."""
        ...

    def repeatable(self, message: Message) -> bool:
        """Say whether the call for this message does no harm if it is carried out twice."""
        ...

    async def call(self, message: Message, session: httpx2.AsyncClient, delivery: uuid.UUID) -> Message:
        """Send the message over the channel's client and return the answer.

        `delivery` is the same whenever this call is repeated, also when its message is sent again: a receiver can tell
        by it what it has had already.

        Raises:
            NotCarriedOut: Nothing has happened at the receiver.
            BackendUnavailable: Something may have.
            BackendError: The receiver refused; so does any other exception count.
        """
        ...
