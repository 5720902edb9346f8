"""Each fault put into a healthy device or image is found, named, and nothing else is."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet_agent.doctor.finding import Level
from support.seeded import DEVICE, IMAGE, Bench, Seeded, adopting

_QUIET = {Level.OK, Level.NOTE}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "root")
    yield made
    if (folder := Path(made.settings["state_dir"])).is_relative_to("/dev/shm"):
        shutil.rmtree(folder)


def test_a_healthy_device_has_nothing(bench: Bench) -> None:
    found = bench.examine()
    assert [each for each in found if each.level not in _QUIET] == []
    checks = {each.check for each in found}
    assert {
        "configuration",
        "state directory",
        "identity",
        "claim",
        "clock",
        "parameters",
    } < checks
    assert {"SDK", "queue", "unit", "owners and modes"} < checks


def test_a_device_that_brings_its_own_certificate_has_nothing(bench: Bench) -> None:
    adopting(bench)
    found = bench.examine()
    assert [each for each in found if each.level not in _QUIET] == []
    assert "not-adopted" in {each.code for each in found}


def test_a_clean_image_has_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "root", is_image=True)
    found = bench.examine()
    assert [each for each in found if each.level not in _QUIET] == []
    bench.settings.pop("claim")
    bench.save(identity={"certificate": "own.crt", "private_key": "own.key"})
    assert [each for each in bench.examine() if each.level not in _QUIET] == []


@pytest.mark.parametrize("fault", DEVICE, ids=lambda fault: fault.title)
def test_a_fault_of_a_device(bench: Bench, fault: Seeded) -> None:
    if fault.as_root and os.geteuid() != 0:
        pytest.skip("only root can do that")
    fault.seed(bench)
    _assert_found(bench, fault)


@pytest.mark.parametrize("fault", IMAGE, ids=lambda fault: fault.title)
def test_a_fault_of_an_image(tmp_path: Path, fault: Seeded) -> None:
    bench = Bench(tmp_path / "root", is_image=True)
    fault.seed(bench)
    _assert_found(bench, fault)


def _assert_found(bench: Bench, fault: Seeded) -> None:
    found = [each for each in bench.examine() if each.level not in _QUIET]
    reported = [each for each in found if each.code == fault.code]
    assert reported, [each.code for each in found]
    assert {each.level.value for each in reported} == {fault.level}
    assert any(fault.names in f"{each.title} {each.where} {each.remedy}" for each in reported), (
        reported
    )
    assert all(each.remedy for each in found)
    others = {each.code for each in found} - {fault.code, *fault.also}
    assert others == set(), [each for each in found if each.code in others]


def test_claim_that_is_to_be_deleted_has_its_price(bench: Bench) -> None:
    bench.save(claim={**bench.settings["claim"], "after_success": "delete"})
    (found,) = [each for each in bench.examine() if each.code == "claim-deletes"]
    assert found.level is Level.NOTE
    assert "cannot recover by itself" in found.title
