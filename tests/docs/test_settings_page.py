"""The page of settings and commands is the one that the settings and commands themselves give."""

import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast.config import KindSettings, Settings, SystemSettings

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def page() -> str:
    make: Callable[[], str] = runpy.run_path(str(ROOT / "scripts" / "settings_page.py"))["page"]
    return make()


def test_the_page_is_up_to_date(page: str) -> None:
    assert (ROOT / "docs" / "settings.md").read_text() == page, "run `make docs`"


@pytest.mark.parametrize("model", [Settings, SystemSettings, KindSettings])
def test_every_setting_says_what_it_does(model: type, page: str) -> None:
    for name, field in model.model_fields.items():
        assert field.description, f"{name}: write what it does in the line below it, in src/holdfast/config.py"
        assert f"| `{name}` |" in page
        assert field.description in page


def test_spans_and_sizes_name_their_unit() -> None:
    for model in (Settings, SystemSettings, KindSettings):
        for name, field in model.model_fields.items():
            if str(field.annotation).startswith("<class 'float'") and "rate" not in name:
                assert "econds" in str(field.description), name
            if name.endswith("_bytes"):
                assert "Bytes" in str(field.description), name
