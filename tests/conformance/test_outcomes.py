from __future__ import annotations

from pathlib import Path

import pytest
from tests.conformance.outcomes import Outcome, compare, read_reasons
from tests.conformance.suites import SUITES

EXPECTED = Path(__file__).parent / "expected"
PASSED, FAILED, SKIPPED = (Outcome(one) for one in ("passed", "failed", "skipped"))


def test_a_failure_needs_a_reason() -> None:
    """A failure is good when the table has it, and is named with its first words when not."""
    outcomes = {"a::one": FAILED, "a::two": Outcome("failed", "400 == 200"), "a::three": PASSED}
    verdict = compare(outcomes, {"a::one": "why"})
    assert verdict.unexplained == {"a::two": "400 == 200"}
    assert verdict.explained == {"why": 1}
    assert not verdict.is_good
    assert compare(outcomes, {"a::one": "why", "a::two": "why"}).is_good


def test_an_entry_without_parameters_stands_for_all() -> None:
    """An entry covers the failures of all parameters, and is right while one of them fails."""
    outcomes = {"a::one[x]": FAILED, "a::one[y]": PASSED, "a::oneself[x]": PASSED}
    assert compare(outcomes, {"a::one": "why"}).is_good
    assert not compare(outcomes, {"a::one[y]": "why"}).is_good


@pytest.mark.parametrize("outcome", [PASSED, SKIPPED, None])
def test_an_entry_that_does_not_fail_is_reported(outcome: Outcome | None) -> None:
    """An entry whose tests pass, or do not run, has to go."""
    verdict = compare({} if outcome is None else {"a::one": outcome}, {"a::one": "why"})
    assert (verdict.passing or verdict.missing) == ["a::one"]
    assert bool(verdict.passing) == (outcome is PASSED)
    assert not verdict.is_good


def test_a_test_is_listed_once(tmp_path: Path) -> None:
    """A test with two reasons is an error that names it."""
    table = tmp_path / "x.toml"
    table.write_text('[[reason]]\nwhy = "a"\ntests = ["t::one", "t::one"]\n')
    with pytest.raises(ValueError, match=r"x\.toml: t::one is listed twice"):
        read_reasons(table)


def test_each_table_belongs_to_a_suite() -> None:
    """Tables can be read, say why in a sentence, and are those of the suites."""
    names = {path.stem for path in EXPECTED.glob("*.toml")}
    assert names <= {one.name for one in SUITES}
    for name in names:
        assert all(read_reasons(EXPECTED / f"{name}.toml").values())
