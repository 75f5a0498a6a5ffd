"""A store that counts how often it is asked."""

from typing import Any

import msgspec

from holdfast.core.ports import Store


class Counted:
    """A port that counts its calls by name."""

    def __init__(self, port: Any, calls: list[str]) -> None:
        self._port, self._calls = port, calls

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            self._calls.append(name)
            return await method(*args, **kwargs)

        return call


def counting(store: Store, calls: list[str]) -> Store:
    """Return the store, writing the name of every call of its ports but the channel's down."""
    ports = {name: Counted(getattr(store, name), calls) for name in ("sessions", "leases", "events", "counters")}
    return msgspec.structs.replace(store, **ports)
