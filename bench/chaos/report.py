"""What a run has done and found, as a table and as JSON."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from bench.chaos.judge import Quiet
from bench.chaos.model import Broken


class Report(msgspec.Struct, kw_only=True):
    """The figures of a run. `broken` is empty if every promise held."""

    store: str
    seed: int
    seconds: float
    kills: int
    faults: Mapping[str, int]
    awaits_frozen_at: Mapping[str, int]
    workflows: Mapping[str, int]
    acknowledged: int
    facts: Mapping[str, int]
    lost: int
    twice: int
    locks_left: int
    contexts_left: int
    nodes_left: int
    stranded: int
    errors: Mapping[str, int]
    checks: list[Quiet]
    broken: list[Broken]

    def table(self) -> str:
        """Return it for people to read."""
        rows: list[tuple[str, Any]] = [("store, seed", f"{self.store}, {self.seed}"), ("seconds", round(self.seconds))]
        rows += [(name, count) for name, count in sorted(self.faults.items())]
        rows += [("frozen at await (which: times)", _counted(self.awaits_frozen_at))]
        rows += [("workflows", _counted(self.workflows)), ("acknowledged facts", self.acknowledged)]
        rows += [("of these", _counted(self.facts)), ("lost", self.lost), ("twice", self.twice)]
        rows += [("locks left", self.locks_left), ("contexts left", self.contexts_left)]
        rows += [("nodes left in the store", self.nodes_left), ("stranded", self.stranded)]
        rows += [("errors by code", _counted(self.errors)), ("quiet checks", len(self.checks))]
        for name in ("free_after_s", "empty_after_s", "logons_left", "checked"):
            rows.append((f"  {name.replace('_', ' ')}", " ".join(str(getattr(check, name)) for check in self.checks)))
        rows += [("promises broken", len(self.broken))]
        return "\n".join(f"{name:28} {value}" for name, value in rows)

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=2))


def _counted(counts: Mapping[Any, int]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in sorted(counts.items())) or "none"
