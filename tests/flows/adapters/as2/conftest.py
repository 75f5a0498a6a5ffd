"""Keys are made once, and the partner runs once, for all tests of AS2."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.flows_world import Receiver
from flows.adapters.as2.world import make_files, running_partner


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_files(tmp_path_factory.mktemp("as2"))


@pytest.fixture(scope="session")
def process(folder: Path) -> Iterator[Receiver]:
    with running_partner(folder) as receiver:
        yield receiver


@pytest.fixture
def partner(process: Receiver) -> Receiver:
    process.tell("reset")
    return process
