"""What `docs/reliability.md` says is tested is tested: every fault it lists, under its name, and every test that it names."""

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
FAULTS = re.findall(r"^\| (F\d\d) \|", PAGE, re.MULTILINE)


@cache
def existing() -> frozenset[str]:
    """Return the names of all tests there are."""
    files = (ROOT / "tests").rglob("test_*.py")
    return frozenset(
        name for file in files for name in re.findall(r"^ *(?:async )?def (test_\w+)", file.read_text(), re.M)
    )


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_of_the_page_is_caused_in_a_test_of_its_name(fault: str) -> None:
    assert any(name.startswith(f"test_{fault.lower()}_") for name in existing())


def test_every_fault_that_is_tested_is_on_the_page() -> None:
    tested = {name[5:8].upper() for name in existing() if re.match(r"test_f\d\d_", name)}
    assert tested == set(FAULTS)
    assert len(FAULTS) == len(set(FAULTS)) == 40


@pytest.mark.parametrize("name", re.findall(r"`(test_\w+)`", PAGE))
def test_every_test_that_the_page_names_is_there(name: str) -> None:
    assert name in existing()


def test_every_promise_has_tests() -> None:
    promised = re.findall(r"^\| (P\d+) \| \*\*", PAGE, re.MULTILINE)
    proven = re.findall(r"^\| (P\d+) \| `", PAGE, re.MULTILINE)
    assert promised == proven == [f"P{number}" for number in range(1, 14)]
