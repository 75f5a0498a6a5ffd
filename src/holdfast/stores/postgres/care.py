"""Looking after a namespace at a PostgreSQL server."""

from collections.abc import Mapping

from holdfast.stores.care import Finding
from holdfast.stores.postgres.connections import Connections
from holdfast.stores.postgres.schema import migrate


class PostgresCare:
    """Implements `Care`."""

    def __init__(self, connections: Connections, namespace: str, timeout: float) -> None:
        self._connections, self._namespace, self._timeout = connections, namespace, timeout

    async def migrate(self) -> list[str]:
        connection = await self._connections.take(self._timeout)
        try:
            return await migrate(connection, self._namespace)
        finally:
            await self._connections.drop(connection)

    async def check(self) -> list[Finding]:
        return []

    async def stats(self) -> Mapping[str, int | float | str]:
        return {}
