"""Parallel branches that open sessions of their own (F8): whatever a flow may do, the check has told of it."""

import json
import random
from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.flows.checking.shape import LoneBranches
from holdfast.flows.checking.uses import uses_of
from holdfast.flows.model import read_flow
from holdfast.flows.model.flow import Loop, Multicast, Router, Split, Step, Steps, Try
from holdfast.flows.parts import Call
from holdfast.flows.sessions import scopes
from holdfast.flows.sessions.scopes import Scope

RECEIVERS = {name: {"adapter": "http", "url": f"https://{name}.example"} for name in ("erp", "crm")}


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return steps that hold others."""
    do = st.lists(inner, min_size=1, max_size=3)
    rare = st.booleans()
    return st.one_of(
        st.builds(lambda do, first: {"loop": {"while": "body", "max": 9, "check_first": first, "do": do}}, do, rare),
        st.builds(lambda do, parallel: {"split": {"parallel": parallel, "do": do}}, do, rare),
        st.builds(
            lambda ways, parallel: {"multicast": {"parallel": parallel, "branches": ways}},
            st.lists(do, min_size=1, max_size=3),
            rare,
        ),
        st.builds(lambda do, on_error: {"try": {"do": do, "on_error": on_error}}, do, do),
        st.builds(
            lambda do, otherwise: {"router": {"routes": [{"when": "body", "do": do}], "otherwise": otherwise}},
            do,
            st.lists(inner, max_size=2),
        ),
    )


step = st.recursive(st.sampled_from([{"call": name} for name in RECEIVERS]), nested, max_leaves=8)


class Failed(Exception):
    """A call has failed."""


class Run:
    """A message on one of the ways that it may take, with its sessions as the runtime keeps them."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.opened: dict[str, set[str]] = {}
        self.lone: set[tuple[str, str]] = set()
        self.labels = iter(range(1_000_000))

    def steps(self, steps: Steps, path: str, scope: Scope, *, risky: bool) -> None:
        for number, each in enumerate(steps):
            self.step(each, f"{path}[{number}].{each.kind}", scope, risky=risky)

    def step(self, each: Step, at: str, scope: Scope, *, risky: bool) -> None:  # noqa: C901 - a case for each kind
        match each.options:
            case Call(receiver=name):
                if risky and self.chance.random() < 0.3:
                    raise Failed
                receiver = f"{name}.example:443"
                self.opened.setdefault(scopes.home(scope, receiver).name, set()).add(receiver)
            case Loop() as loop:
                for _ in range(self.chance.randint(0 if loop.check_first else 1, 2)):
                    self.steps(loop.do, f"{at}.do", scope, risky=risky)
            case Split() as split:
                items = [(split.do, f"{at}.do")] * self.chance.randint(0, 3)
                self.branches(items, at, scope, parallel=split.parallel, risky=risky)
            case Multicast() as multicast:
                ways = [(steps, f"{at}.branches[{number}]") for number, steps in enumerate(multicast.branches)]
                self.branches(ways, at, scope, parallel=multicast.parallel, risky=risky)
            case Router() as router:
                if self.chance.random() < 0.5:
                    self.steps(router.routes[0].do, f"{at}.routes[0].do", scope, risky=risky)
                else:
                    self.steps(router.otherwise, f"{at}.otherwise", scope, risky=risky)
            case Try() as tried:
                try:
                    self.steps(tried.do, f"{at}.do", scope, risky=True)
                except Failed:
                    self.steps(tried.on_error, f"{at}.on_error", scope, risky=risky)

    def branches(self, ways: list[tuple[Steps, str]], at: str, scope: Scope, *, parallel: bool, risky: bool) -> None:
        there = self.opened.get(scope.name, set())
        parts = scopes.split(scope, len(ways), there, str(next(self.labels))) if parallel else [scope] * len(ways)
        for part, (steps, path) in zip(parts, ways, strict=True):
            self.steps(steps, path, part, risky=risky)
        if parallel:
            born = Counter(receiver for part in parts for receiver in self.opened.get(part.name, ()))
            self.lone |= {(at, receiver) for receiver, sessions in born.items() if sessions > 1}


@settings(max_examples=100, deadline=None)
@given(st.lists(step, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_whatever_way_a_message_takes_lone_branches_have_been_told(program: list[Any], chance: random.Random) -> None:
    # F8, F12
    definition = read_flow(json.dumps({"flow": "f", "receivers": RECEIVERS, "steps": program}))
    walk = LoneBranches(uses_of(definition))
    walk.walk(definition.flow.steps)
    for _ in range(5):
        run = Run(chance)
        run.steps(definition.flow.steps, "steps", Scope("message"), risky=False)
        for at, receiver in run.lone:
            assert any(at.startswith(told) and receiver == about for told, about in walk.found), (at, receiver)


def test_what_is_told_can_happen() -> None:
    # the other direction, for the smallest flow of its kind
    program = [{"split": {"parallel": True, "do": [{"call": "erp"}]}}]
    definition = read_flow(json.dumps({"flow": "f", "receivers": RECEIVERS, "steps": program}))
    runs = [Run(random.Random(seed)) for seed in range(20)]
    for run in runs:
        run.steps(definition.flow.steps, "steps", Scope("message"), risky=False)
    assert {lone for run in runs for lone in run.lone} == {("steps[0].split", "erp.example:443")}
