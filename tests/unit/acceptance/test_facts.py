"""The table of facts, and the switches of the sandbox that it names."""

from pathlib import Path

import pytest

from fleet_acceptance import plan
from fleet_acceptance.facts.fact import MARKS
from fleet_acceptance.facts.table import FACTS
from iot_sandbox.limits import RULES
from iot_sandbox.switches import HELD, SWITCHES, has


def test_no_fact_is_there_twice_and_each_mark_is_known() -> None:
    names = [fact.id for fact in FACTS]
    assert len(names) == len(set(names)) > 60
    assert {fact.mark for fact in FACTS} <= MARKS.keys()


def test_every_switch_of_the_sandbox_is_a_fact_and_stands_where_the_table_says() -> None:
    turned = {fact.id: fact.sandbox for fact in FACTS if fact.has_switch}
    assert turned == {name: switch.default for name, switch in SWITCHES.items()} | dict.fromkeys(
        RULES, HELD
    )


def test_a_sandbox_can_do_what_is_documented_wherever_it_has_a_switch() -> None:
    wanted = [fact for fact in FACTS if fact.has_switch and fact.documented]
    assert [each.id for each in wanted if not has(each.id, str(each.documented))] == []


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.id)
def test_another_answer_says_what_follows(fact: object) -> None:
    (one,) = (each for each in FACTS if each is fact)
    said = one.consequences("404 Something")
    assert said
    assert (f"--set {one.id}='404 Something'" in said[0]) is one.has_switch
    assert one.stated
    assert one.how


def test_the_how_to_names_every_section(root_dir: Path) -> None:
    page = (root_dir / "docs/how-to/acceptance.md").read_text()
    assert [section.name for section in plan.SECTIONS if f"`{section.name}`" not in page] == []


def test_a_run_costs_less_than_a_dollar_however_many_devices() -> None:
    calls, messages, dollars = plan.costs(plan.chosen([]), 500)
    assert calls > 5000
    assert messages > 5000
    assert 0 < dollars < 1
