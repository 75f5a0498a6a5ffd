"""`python -m bench.chaos`: kill, freeze and cut off, and say whether every promise was kept. Exits 1 if not."""

import argparse
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import anyio
import httpx2
from bench.chaos.agents import Agent, Pause
from bench.chaos.faults import Faults
from bench.chaos.foreign import Foreign
from bench.chaos.judge import Judge
from bench.chaos.model import Broken, Model, history, in_order
from bench.chaos.report import Report
from bench.chaos.world import Options, World, open_world

STAND_S = 100.0
FOLLOW_S = 1.0
SHOWN = 3
TOLD_S = 40.0
ORDERS = {"serialise": [True], "overtake": [False], "both": [True, False]}


class Chaos:
    """One run."""

    def __init__(self, world: World, http: httpx2.AsyncClient) -> None:
        self._world, self._options = world, world.options
        self.model, self.pause = Model(), Pause()
        self.faults = Faults(world, self.model, self.pause)
        self.foreign = Foreign(world.sap, self.model)
        self.judge = Judge(world, self.model, self.faults, self.foreign)
        self.agents = [Agent(n, world, self.model, self.pause, http) for n in range(self._options.agents)]
        self._began = time.monotonic()

    async def run(self) -> None:
        """Disturb until all kills are done or a promise is broken, with a quiet check every so many kills."""
        async with httpx2.AsyncClient(timeout=20.0) as alice, anyio.create_task_group() as tasks:
            await self.foreign.begin(alice)
            for agent in self.agents:
                tasks.start_soon(agent.run)
            tasks.start_soon(self._follow)
            orders, turn = ORDERS[self._options.order], 0
            while self.faults.counts["kills"] < self._options.kills and not self.model.broken:
                await self._world.sap.switch(serialise_close=orders[turn % len(orders)], release_delay_s=turn % 2)
                await self._disturb()
                await self._world.sap.switch(serialise_close=True)
                await self.judge.check()
                turn += 1
                self._say()
            tasks.cancel_scope.cancel()

    async def _disturb(self) -> None:
        """Let everybody work under faults for one batch of kills; at the end all stand still and all workers run."""
        left = self._options.kills - self.faults.counts["kills"]
        self.pause.begin()
        async with self.faults.running():
            for _ in range(min(self._options.quiet_every, left)):
                await self.faults.kill()
        self.pause.end()
        with anyio.fail_after(STAND_S):
            await self._world.workers.all_up()
            while self.pause.standing < len(self.agents):
                await anyio.sleep(0.05)

    async def _follow(self) -> None:
        while True:
            await self._world.sap.follow()
            await self.foreign.look()
            await anyio.sleep(FOLLOW_S)

    def _say(self) -> None:
        check = self.judge.checks[-1]
        print(
            f"{check.after_kills} kills, {self.model.acknowledged} facts; free after {check.free_after_s} s, "
            f"empty after {check.empty_after_s} s, {len(self.model.broken)} promises broken",
            flush=True,
        )

    def report(self) -> Report:
        """Return the figures."""
        counts = Counter(broken.promise for broken in self.model.broken)
        met = Counter(fault for row in self._world.sap.requests for fault in row["faults"])
        names = {"cut_before": "requests lost", "cut_after": "answers lost", "delay": "requests late"}
        names["foreign_lock"] = "locks taken by others"
        return Report(
            store=self._options.store,
            seed=self._options.seed,
            seconds=time.monotonic() - self._began,
            kills=self.faults.counts["kills"],
            faults={**self.faults.counts, **{names[name]: count for name, count in met.items()}},
            awaits_frozen_at=self.faults.awaits,
            workflows=sum((agent.workflows for agent in self.agents), Counter()),
            acknowledged=self.model.acknowledged,
            facts=self.model.facts,
            lost=counts["lost"],
            twice=counts["twice"],
            locks_left=self.judge.left["locks"],
            contexts_left=self.judge.left["contexts"],
            nodes_left=self.judge.left["nodes"],
            stranded=self.judge.left["stranded"],
            errors=sum((agent.codes for agent in self.agents), Counter()),
            checks=self.judge.checks,
            broken=self.model.broken,
        )

    def explain(self, broken: Broken) -> str:
        """Return a broken promise with everything that is known about its object."""
        head = f"\nBROKEN: {broken.promise}: {broken.subject} at {broken.at:.3f}: {broken.detail}"
        item, diary = self.model.items.get(broken.subject), self.model.diaries.get(broken.subject, [])
        if item is not None:
            lines = history(item, self._world.sap.requests, self.model.disturbances)
        else:
            since = broken.at - TOLD_S
            lines = in_order([event for event in (*diary, *self.model.disturbances) if since <= event.at <= broken.at])
        return "\n  ".join([head, *lines])


async def run(options: Options, folder: Path) -> Report:
    """Run the whole of it in this folder, and return what came of it."""
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
    async with open_world(options, folder) as world, httpx2.AsyncClient(timeout=None, limits=limits) as http:
        chaos = Chaos(world, http)
        await chaos.run()
        for broken in chaos.model.broken[:SHOWN]:
            print(chaos.explain(broken))
        return chaos.report()


def options_of(arguments: Sequence[str] | None = None) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description=__doc__)
    about = {
        "store": "sqlite, redis or postgres, or the URL of a store that runs already",
        "kills": "how many workers to kill",
        "seed": "gives the same schedule of faults again",
        "quiet_every": "kills between two quiet checks",
        "kill_every": "seconds between two kills, on average",
        "outage_every": "seconds between two outages of the store, on average",
        "outage": "seconds an outage of the store lasts",
        "jump": "seconds by which clocks jump at most",
        "delay_ms": "milliseconds a request to the ABAP system takes",
        "order": f"of a running request and the end of its context (A5): {', '.join(ORDERS)}",
        "plant": "a fault of bench/chaos/planted.py, which has to be found",
        "report": "file to write the report to, as JSON",
        "keep": "folder for logs and files, kept afterwards",
    }
    for name, field in zip(Options.__struct_fields__, Options.__struct_defaults__, strict=True):
        kind = Path if field is None else type(field)
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=kind, default=field, help=about.get(name, "%(default)s")
        )
    return Options(**vars(parser.parse_args(arguments)))


def main() -> int:
    """Run, print, and say by the exit code whether every promise was kept."""
    options = options_of()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # leave no process behind
    with ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="holdfast-chaos-")))
        folder.mkdir(parents=True, exist_ok=True)
        report = anyio.run(run, options, folder)
    print(report.table())
    if options.report:
        report.write(options.report)
    return int(bool(report.broken))


if __name__ == "__main__":
    raise SystemExit(main())
