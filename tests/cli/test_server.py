"""One server process under uvicorn."""

import signal
from collections.abc import Iterator
from typing import Any, cast

import anyio
import pytest

from holdfast.app import Application
from holdfast.cli.serve import refuse_open_door
from holdfast.cli.server import Server, bound
from holdfast.config import OAuthSettings, Settings
from holdfast.errors import ConfigurationError


class Failing:
    """An application that fails when the server listens."""

    busy = False

    def __init__(self) -> None:
        self.stopped = False
        self.listens = anyio.Event()

    def stop(self) -> None:
        self.stopped = True

    def give_up(self) -> None:
        pass

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await self.listens.wait()
        raise RuntimeError("the keeper has failed")


@pytest.fixture
def own_signals() -> Iterator[None]:
    """Put the handlers of signals back as they were."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("own_signals")
def test_a_server_whose_application_has_failed_ends_with_an_error_instead_of_refusing_everybody() -> None:
    # A5: a supervisor starts it again
    application, listening = Failing(), bound("127.0.0.1", 0)
    server = Server(cast("Application", application), Settings(), ready=application.listens.set)
    with listening, pytest.raises(SystemExit) as stopped:
        server.run_until_told(listening)
    assert stopped.value.code == 1
    assert application.stopped


def test_an_address_others_can_reach_is_open_to_an_issuers_tokens_only() -> None:
    with pytest.raises(ConfigurationError, match="without authentication"):
        refuse_open_door(Settings(host="192.0.2.1"))
    refuse_open_door(Settings(host="192.0.2.1", oauth=OAuthSettings(issuer="https://login.example")))
    refuse_open_door(Settings(host="127.0.0.1"))
