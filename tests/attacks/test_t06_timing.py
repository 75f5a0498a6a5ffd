"""T6: how long a refusal takes tells nothing of an id: whatever is wrong with it, the same work is done (R70).

Time itself is measured by `python bench/lookup_timing.py`: 200,000 probes and Welch's t-test. A test of time would fail
with the machine's noise, so here the work is counted: what the store is asked, and how many bytes are hashed. A
malformed id is the exception (E3, R4): it costs no store anything, and tells only what its sender knows.
"""

from collections import Counter
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from attacks.names import ByName
from e2e.mcp_world import World, handshake, request, world
from holdfast.core import ids
from holdfast.core.model import Reason
from holdfast.mcp.kinds import SESSION
from holdfast.mcp.rules import SessionRules

ANN, BOB = {"authorization": "Bearer ann.1"}, {"authorization": "Bearer bob.1"}


class Counted:
    """Passes calls on, and counts them with the sizes of what they are given."""

    def __init__(self, sessions: Any, work: Counter[str]) -> None:
        self._sessions, self._work = sessions, work

    def __getattr__(self, name: str) -> Any:
        async def call(*given: Any, **named: Any) -> Any:
            self._work[f"{name} {len(given[0]) if isinstance(given[0], bytes) else 'a place'}"] += 1
            return await getattr(self._sessions, name)(*given, **named)

        return call


def counting(made: World, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count from now on what refusals cost."""
    work: Counter[str] = Counter()

    def sha256(data: bytes) -> Any:
        work["hashes"] += 1
        work["hashed bytes"] += len(data)
        return hashlib.sha256(data)

    hashlib = ids.hashlib
    monkeypatch.setattr(ids, "hashlib", SimpleNamespace(sha256=sha256))
    manager = made.workers[0].manager
    manager.store = msgspec.structs.replace(manager.store, sessions=Counted(manager.store.sessions, work))
    return work


async def kinds_of_ids(made: World) -> dict[str, str]:
    """Return an id of each kind that is refused; what is alive is ann's."""
    wire, manager = made.workers[0].wire, made.workers[0].manager
    expired = (await handshake(wire, **BOB))["mcp-session-id"]
    made.clock.advance(10_000)
    revoked, gone, foreign = [(await handshake(wire, **who))["mcp-session-id"] for who in (BOB, BOB, ANN)]
    await manager.end(await manager.load(revoked, kind=SESSION), Reason.ADMIN)
    ended = await manager.load(gone, kind=SESSION)
    await manager.end(ended, Reason.ADMIN)
    await made.store.sessions.delete([ended.ref])
    other = "A" if foreign[-1] != "A" else "B"
    return {
        "random": ids.make_ids().generate(),
        "all but the last symbol of a living one": foreign[:-1] + other,
        "another beginning of a living one": other + foreign[1:],
        "expired": expired,
        "revoked": revoked,
        "gone": gone,
        "foreign": foreign,
    }


@pytest.mark.parametrize("dialect", [False, True])
@pytest.mark.parametrize("who", [BOB, {}], ids=["bob", "nobody"])
@pytest.mark.parametrize("fingerprint", ["off", "warn", "reject"])
async def test_every_refusal_asks_and_hashes_the_same_and_answers_the_same(
    fingerprint: Any, who: dict[str, str], dialect: bool, monkeypatch: pytest.MonkeyPatch
) -> None:  # R70, E3
    rules = SessionRules(dialect=dialect, fingerprint=fingerprint)
    async with world(bearer=ByName(), rules=rules) as made:
        refused = await kinds_of_ids(made)
        work, costs, answers = counting(made, monkeypatch), {}, set()
        for name, session_id in refused.items():
            for method, body in (("POST", request("ping")), ("DELETE", None)):
                work.clear()
                headers = {"mcp-session-id": session_id, "content-type": "application/json", **who}
                seen = await made.workers[0].wire.send(method, body, headers=headers)
                costs[name, method] = dict(work)
                answers.add((method, seen.status, seen.body, tuple(sorted(seen.headers.items()))))
        for method in ("POST", "DELETE"):
            spent = {name: cost for (name, of), cost in costs.items() if of == method}
            assert all(cost == spent["random"] for cost in spent.values()), spent
            assert spent["random"]["hashes"] >= 1
        assert len(answers) == 2


async def test_a_malformed_id_costs_no_store_anything_and_answers_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    # R4, E3
    async with world(bearer=ByName()) as made:
        await handshake(made.workers[0].wire, **ANN)
        work = counting(made, monkeypatch)
        answers = set()
        for session_id in ("x", "A" * 42, "A" * 44, "A" * 42 + "=", "*", "é" * 43, " ", "A" * 43):
            work.clear()
            seen = await made.workers[0].wire.post(request("ping"), mcp_session_id=session_id, **BOB)
            assert bool(work) == (session_id == "A" * 43), session_id
            answers.add((seen.status, seen.body, tuple(sorted(seen.headers.items()))))
        assert len(answers) == 1


def test_no_id_is_compared_with_another_and_prefixes_are_worth_nothing() -> None:  # R6
    one = ids.make_ids().generate()
    other = one[:-1] + ("A" if one[-1] != "A" else "B")
    alike = sum(a == b for a, b in zip(ids.alias_of(one), ids.alias_of(other), strict=True))
    assert alike < 8, "of 32 bytes, as many as by chance"
