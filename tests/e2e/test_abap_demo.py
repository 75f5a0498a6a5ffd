"""`holdfast demo --once`, which `make run ONCE=1` starts: a newcomer's first look."""

import re
from collections.abc import AsyncIterator

import pytest

from e2e.abap_world import AbapWorld, abap_world


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AbapWorld]:
    """Only the folders: the demo starts system and server by itself."""
    async with abap_world(tmp_path_factory.mktemp("demo"), count=0) as opened:
        yield opened


@pytest.mark.parametrize("era", [(), ("--legacy",)], ids=["auto", "legacy"])
async def test_the_demo_shows_the_whole_workflow_and_leaves_nothing(world: AbapWorld, era: tuple[str, ...]) -> None:
    store = f"sqlite:///{world.folder / f'demo{len(era)}.db'}"
    ran = await world.run("demo", "--once", *era, store=store)
    said = ran.stdout.decode()
    assert ran.returncode == 0, said + ran.stderr.decode()
    steps = re.findall(r"^ *\d+\. (\w+)\(", said, re.MULTILINE)
    assert steps == [
        "GetSession",
        "ValidateClass",
        "CreateClass",
        "LockClass",
        "ReadClass",
        "UpdateClass",
        "CheckClass",
        "UnlockClass",
        "ActivateClass",
        "CloseSession",
    ]
    assert "└─ lock" in said
    assert ("mcp " in said) is bool(era)
    assert "no lock, no context left behind" in said
