"""docs/security.md says of every requirement of the checklist which test proves it, or that it is not there."""

import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "docs" / "security.md").read_text()
TESTS: Final = ROOT / "tests"
ASKED: Final = [f"R{number}" for number in range(1, 77)]
CHAPTER_7: Final = {1: 3, 2: 4, 3: 2, 4: 5, 5: 3, 6: 2}  # of ASVS 5.0: requirements by section
SECTIONS: Final = [f"7.{section}.{number + 1}" for section, most in CHAPTER_7.items() for number in range(most)]
ROW: Final = re.compile(r"^\| (R\d+|7\.\d\.\d) \| (.+?) \| (.*?) ?\|$", re.MULTILINE)
ROWS: Final = {name: (said, re.findall(r"`([^`]+)`", files)) for name, said, files in ROW.findall(PAGE)}
RANGE: Final = re.compile(r"\bR(\d+) to R(\d+)\b")


def mentioned(text: str) -> set[str]:
    """Return the numbers that a file names, also those between two."""
    between = {f"R{n}" for first, last in RANGE.findall(text) for n in range(int(first), int(last) + 1)}
    return between | set(re.findall(r"\bR\d+\b", text))


def test_every_requirement_is_there_once_in_order() -> None:
    assert [name for name, _, _ in ROW.findall(PAGE)] == ASKED + SECTIONS


@pytest.mark.parametrize("name", ASKED)
def test_the_tests_of_a_requirement_are_there_and_name_it(name: str) -> None:
    said, files = ROWS[name]
    assert files or "not there" in said, "a test, or why there is none"
    for file in files:
        assert name in mentioned((TESTS / file).read_text()), file


@pytest.mark.parametrize("section", SECTIONS)
def test_the_tests_of_a_section_of_asvs_are_there(section: str) -> None:
    _, files = ROWS[section]
    assert files
    for file in files:
        assert (TESTS / file).is_file(), file


def test_what_is_not_tested_is_only_what_is_not_there() -> None:
    assert [name for name in ASKED if not ROWS[name][1]] == ["R15", "R56"]
