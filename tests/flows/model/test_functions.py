"""Functions that flows name: a check looks for them without running anything, a deployment imports them."""

import sys
from pathlib import Path

import pytest

from holdfast.errors import ConfigurationError
from holdfast.flows.model import check_functions, load_flow, read_flow

FOUND = """
import sys
from functools import partial
from os.path import join as joined, basename
try:
    from nowhere import absent
except ImportError:
    def absent(message): ...
if sys.platform:
    one, (two, *rest) = partial(print), (print, print)
for each in ():
    pass
with open(__file__) as file:
    handler: object = print
class Made: ...
async def later(message): ...
def outer(message):
    def inner(): ...
    local = 1
open("RAN", "w").close()
raise SystemExit
"""


@pytest.mark.parametrize("module", ["found_here", "part_a.part_b.found_here", "regular_a.found_here"])
def test_functions_are_looked_for_without_running_their_modules(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # F12: a check runs no code of the flow
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    file = tmp_path / (module.replace(".", "/") + ".py")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(FOUND)
    if module.startswith("regular"):
        (file.parent / "__init__.py").write_text("open('RAN', 'w').close()")
    there = ("partial", "joined", "basename", "absent", "one", "two", "rest", "handler", "Made", "later", "outer")
    read_flow("flow: f\nsteps:\n" + "\n".join(f"- script: {module}:{name}" for name in there))
    for name in ("inner", "local", "os", "join"):
        with pytest.raises(ConfigurationError, match=f"orders.yaml:2: the module .* has no function '{name}'"):
            read_flow(f"flow: f\nsteps: [script: {module}:{name}]", "orders.yaml")
    assert not (tmp_path / "RAN").exists()
    assert module not in sys.modules


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("from os.path import *", ""),
        ("def __getattr__(name): ...", ""),
        ("def broken(:", "is no Python, line 1"),
        ("\0", "is no Python"),
    ],
)
def test_what_a_module_does_not_tell_is_seen_when_the_flow_is_deployed(
    text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "odd_module.py").write_text(text)
    (tmp_path / "orders.yaml").write_text("flow: f\nsteps: [script: odd_module:any]")
    if said:
        with pytest.raises(ConfigurationError, match=said):
            load_flow(tmp_path / "orders.yaml")
    else:
        assert load_flow(tmp_path / "orders.yaml").flow.name == "f"


def test_a_module_may_be_beside_the_flow(tmp_path: Path) -> None:
    (tmp_path / "beside_the_flow.py").write_text("def made(message): ...\nraise SystemExit")
    (tmp_path / "orders.yaml").write_text("flow: f\nsteps: [script: beside_the_flow:made]")
    read = load_flow(tmp_path / "orders.yaml")
    assert str(tmp_path) not in sys.path
    with pytest.raises(ConfigurationError, match=r"orders\.yaml:2: the module .* fails when .*: SystemExit"):
        check_functions(read.flow, read.source)
    sys.path.remove(str(tmp_path))


def test_built_in_modules_are_taken_as_they_are() -> None:
    assert read_flow("flow: f\nsteps: [script: math:sqrt, script: time:time]").flow.name == "f"
    with pytest.raises(ConfigurationError, match="it is not there"):
        read_flow("flow: f\nsteps: [script: math.deeper:sqrt]")
