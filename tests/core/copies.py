"""Copies of the engine, with a fault planted in them: to find out whether a test would notice.

A plant is an exact replacement in the source of one module. If that text is not there exactly once, building the copy
fails: whoever changes the source has to say how the fault looks now.
"""

import random
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple
from unittest import mock

from core.virtual_time import InOrder

CORE = tuple(f"holdfast.core.{name}" for name in ("closing", "holding", "tuning", "manager", "keeper"))
COPIED = (*CORE, "holdfast.engine", "testing.other_store")


class Plant(NamedTuple):
    """A fault: in which module, what stands there, what shall stand there."""

    module: str
    old: str
    new: str


class Copy:
    """The modules of one copy, by the last part of their names."""

    def __init__(self, *plants: Plant, seed: int = 0) -> None:
        self._modules: dict[str, ModuleType] = {}
        dice = random.Random(seed)
        with ExitStack() as stack:
            for name in COPIED:
                short = name.rpartition(".")[2]
                module = _built(name, [plant for plant in plants if plant.module == short])
                stack.enter_context(_instead(name, module))
                self._modules[short] = module
        self.manager.new_key = lambda begins_at=None: dice.randbytes(16)
        self.keeper.random = dice

    def __getattr__(self, name: str) -> Any:
        return self._modules[name]


def _built(name: str, plants: list[Plant]) -> ModuleType:
    file = Path(str(import_module(name).__file__))
    text = file.read_text()
    for plant in plants:
        found = text.count(plant.old)
        assert found == 1, f"{name} has changed: it has {found} times what the fault is to replace:\n{plant.old}"
        text = text.replace(plant.old, plant.new)
    module = ModuleType(name)
    module.__dict__.update(set=InOrder)  # a storm comes again as it was
    with _instead(name, module):
        exec(_compiled(text, f"<a copy of {name}>"), module.__dict__)
    return module


_cache: dict[str, Any] = {}


def _compiled(text: str, file: str) -> Any:
    """Compile a copy under a name of its own, so that what runs in it is not taken for the original's coverage."""
    if text not in _cache:
        _cache[text] = compile(text, file, "exec")
    return _cache[text]


@contextmanager
def _instead(name: str, module: ModuleType) -> Iterator[None]:
    """Let who imports this name get the copy."""
    package, _, short = name.rpartition(".")
    original = sys.modules[name]
    sys.modules[name] = module
    try:
        with mock.patch.object(import_module(package), short, module):
            yield
    finally:
        sys.modules[name] = original
