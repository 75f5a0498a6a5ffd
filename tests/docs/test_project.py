"""What the repository promises about itself."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def test_every_requirement_is_pinned_with_hashes_and_no_registry_is_named() -> None:
    for lock in (ROOT / "requirements").glob("*.lock"):
        text = lock.read_text()
        assert "://" not in text
        for block in re.split(r"\n(?=\S)", text):
            if "==" in block:
                assert "--hash=sha256:" in block, block


def test_no_lock_file_of_node_packages_names_where_it_was_made() -> None:
    for lock in (ROOT / "tests" / "peers").glob("*/package-lock.json"):
        assert '"resolved"' not in lock.read_text()


def test_the_package_depends_on_what_it_imports_and_is_typed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (ROOT / "src" / "holdfast" / "py.typed").exists()
    named = {re.split(r"[<>=;\[ ]", requirement)[0] for requirement in project["dependencies"]}
    imported = set()
    for file in (ROOT / "src" / "holdfast").rglob("*.py"):
        imported |= set(re.findall(r"^(?:from|import) (\w+)", file.read_text(), re.MULTILINE))
    foreign = {
        "anyio",
        "cryptography",
        "httpx2",
        "lxml",
        "mcp",
        "msgspec",
        "platformdirs",
        "starlette",
        "typer",
        "uvicorn",
    }
    assert foreign <= named
    assert {name for name in foreign if name in imported} == foreign


def test_the_readme_shows_the_two_commands_and_what_is_not_there_yet() -> None:
    text = (ROOT / "README.md").read_text()
    for needed in ("make run", "make test", "## Not yet", "docs/index.md"):
        assert needed in text
