"""Looking after a namespace at Redis servers: its layout, their settings, and whether its lists fit its rows."""

import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

from redis.exceptions import ResponseError

from holdfast.errors import ConfigurationError
from holdfast.stores.care import Finding
from holdfast.stores.redis.codec import STATES, numbers
from holdfast.stores.redis.layout import POLICY, eviction_policies, info, shards_found, shards_of
from holdfast.stores.redis.line import packed_command
from holdfast.stores.redis.servers import Servers
from holdfast.stores.redis.shards import Shards, place_of

MANY: Final = 500  # entries asked for at once
FORGETS: Final = "Set `appendonly yes`, so that a restart forgets a second at most."
MEND: Final = "Run `holdfast store migrate`: it puts in what is missing and takes out what is left over."


class RedisCare:
    """Implements `Care`."""

    def __init__(self, servers: Servers, namespace: str, wanted: int | None, *, timeout: float) -> None:
        self._servers, self._namespace, self._wanted, self._timeout = servers, namespace, wanted, timeout

    async def migrate(self) -> list[str]:
        """See `Care.migrate`. It also mends lists that a crash between two shards has left unlike their rows."""
        number, new = await shards_of(self._servers, self._namespace, self._wanted)
        done = [f"laid out the namespace {self._namespace} in {number} shards"] if new else []
        shards = self._shards(number)
        lacking, empty, _ = await self._compared(shards)
        await shards.settle([*(b"+" + entry for entry in lacking), *(b"-" + entry for entry in empty)])
        if lacking:
            done.append(f"put in {len(lacking)} index entries that were missing")
        if empty:
            done.append(f"took out {len(empty)} index entries of nodes that are gone")
        return done

    async def check(self) -> list[Finding]:
        """See `Care.check`."""
        findings = [
            *await self._policies(),
            *await self._persistence(),
            *await self._replicas(),
            *await self._cluster(),
        ]
        try:
            number = await shards_found(self._servers, self._namespace, self._wanted)
        except ConfigurationError as exc:
            return [*findings, Finding("layout_wrong", str(exc), exc.hint)]
        if number is None:
            text = f"the namespace {self._namespace} has never been opened on this server"
            return [*findings, Finding("layout_missing", text, "Run `holdfast store migrate`.", serious=False)]
        lacking, empty, heavy = await self._compared(self._shards(number))
        if lacking:
            findings.append(Finding("index_lacks", f"{len(lacking)} index entries of stored nodes are missing", MEND))
        if empty:
            text = f"{len(empty)} index entries name nodes that are not there"
            findings.append(Finding("index_dangles", text, MEND, serious=False))
        if heavy:
            text = f"{len(heavy)} nodes count another number of held nodes below than there are"
            findings.append(Finding("held_wrong", text, "Restore the server's data; another program has changed it."))
        return findings

    async def stats(self) -> Mapping[str, int | float | str]:
        """See `Care.stats`. `bytes` is the memory of all servers, whoever uses it."""
        number = await shards_found(self._servers, self._namespace, self._wanted) or 0
        sums, kinds = [0, 0, 0, 0], Counter[str]()
        if number:
            for answer in await self._shards(number).everywhere("stats", numbers(time.time())):
                sums = [total + part for total, part in zip(sums, answer[:4], strict=True)]
                for kind, state, count in zip(answer[4::3], answer[5::3], answer[6::3], strict=True):
                    kinds[f"nodes.{kind.decode()}.{STATES[state]}"] += count
        memory, server = await info(self._servers, "memory"), await info(self._servers, "server")
        return {
            **dict(zip(("nodes", "expired", "due", "leased"), sums, strict=True)),
            **{name: count for name, count in sorted(kinds.items()) if count},
            "shards": number,
            "bytes": sum(int(figures["used_memory"]) for figures in memory),
            "server.nodes": len(server),
            "server.version": ", ".join(sorted({_version(figures) for figures in server})),
            "server.maxmemory": sum(int(figures.get("maxmemory", 0)) for figures in memory),
            "server.maxmemory_policy": ", ".join(sorted({figures["maxmemory_policy"] for figures in memory})),
        }

    # -- the servers

    async def _policies(self) -> list[Finding]:
        others = {policy for policy in await eviction_policies(self._servers) if policy != POLICY}
        text, hint = "the server may evict sessions: maxmemory-policy is {}", f"Set `maxmemory-policy {POLICY}`."
        return [Finding("evicts", text.format(policy), hint) for policy in sorted(others)]

    async def _persistence(self) -> list[Finding]:
        if all(figures["aof_enabled"] == "1" for figures in await info(self._servers, "persistence")):
            return []
        try:
            answers = await self._servers.ask_everyone(packed_command(b"CONFIG", b"GET", b"save"))
        except ResponseError:
            answers = []  # CONFIG is forbidden: nothing is known
        if any(answer[1] == b"" for answer in answers):
            return [
                Finding("not_persistent", "the server writes nothing to disk: a restart forgets everything", FORGETS)
            ]
        text = "the server writes snapshots only: a restart forgets what came after the last one"
        return [Finding("snapshots_only", text, FORGETS, serious=False)]

    async def _replicas(self) -> list[Finding]:
        figures = await info(self._servers, "replication")
        if all(int(one.get("connected_slaves", 0)) == 0 or "min_slaves_good_slaves" in one for one in figures):
            return []
        text = "a primary that is cut off from its replicas goes on writing, and a fail-over forgets it"
        hint = "Set `min-replicas-to-write 1`, and ?wait_replicas=1 in the store's URL."
        return [Finding("writes_alone", text, hint, serious=False)]

    async def _cluster(self) -> list[Finding]:
        if not self._servers.clustered:
            return []
        answers = await self._servers.ask_everyone(packed_command(b"CLUSTER", b"INFO"))
        if all(b"cluster_state:ok" in answer for answer in answers):
            return []
        return [Finding("cluster_down", "a node says that the cluster is not whole", "See CLUSTER INFO at its nodes.")]

    # -- the lists

    def _shards(self, number: int) -> Shards:
        return Shards(self._servers, self._namespace, number, wait_replicas=0, timeout=self._timeout)

    async def _compared(self, shards: Shards) -> tuple[list[bytes], list[bytes], list[bytes]]:
        """Return entries that are missing, entries too many, and keys of nodes with a wrong number held below.

        Everything is read, a part at a time; what looks wrong is looked at again, as others write meanwhile.
        """
        lacking: list[bytes] = []
        empty: list[bytes] = []
        heavy: list[bytes] = []
        for shard in range(shards.number):
            async for missing, elsewhere, wrong in _parts(shards, shard, "nodes"):
                lacking += [*missing, *await _failing(shards, "have", elsewhere)]
                heavy += wrong
            async for dangling, elsewhere in _parts(shards, shard, "list"):
                empty += [*dangling, *await _failing(shards, "bear", elsewhere)]
        lacking = await _failing(shards, "have", lacking)
        gone = frozenset(await _failing(shards, "bear", lacking))
        return [entry for entry in lacking if entry not in gone], await _failing(shards, "bear", empty), heavy


async def _parts(shards: Shards, shard: int, what: str) -> AsyncIterator[Sequence[list[bytes]]]:
    """Compare a shard's nodes or its list, a part at a time."""
    cursor = b"0"
    while True:
        cursor, *found = await shards.run("audit", shard, what, cursor)
        yield found
        if cursor == b"0":
            return


async def _failing(shards: Shards, test: str, entries: Sequence[bytes]) -> list[bytes]:
    """Return the entries that are not in the list of their home (`have`), or that no node makes (`bear`)."""
    where = shards.home if test == "have" else place_of
    by_shard: dict[int, list[bytes]] = {}
    for entry in entries:
        by_shard.setdefault(where(entry), []).append(entry)
    failing: list[bytes] = []
    for shard, own in by_shard.items():
        for start in range(0, len(own), MANY):
            failing += await shards.run("audit", shard, test, *own[start : start + MANY])
    return failing


def _version(figures: Mapping[str, str]) -> str:
    """Return a server's name and version: Valkey says both its own and the Redis it is like."""
    if "valkey_version" in figures:
        return f"Valkey {figures['valkey_version']}"
    return f"Redis {figures['redis_version']}"
