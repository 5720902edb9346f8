from pathlib import Path

import pytest

from fleet_agent import device
from fleet_agent.config.sources import FirstOf, FromCommand, FromEnvironment, FromFile, Source
from fleet_agent.errors import DeviceError
from fleet_agent.topics.names import Topics
from support.identity import CREDENTIAL
from support.reserved import NOTHING_OWN


def test_a_template_parameter_is_found_when_a_topic_names_it() -> None:
    find = device.finder({"Serial": FromCommand(command=("echo", "s-1")), "Bad": ""}, NOTHING_OWN)
    topics = Topics(CREDENTIAL.topic_values, find)
    filler = topics.filler("app")
    assert topics.fill("dt/{thing}/{source}", "meter") == "dt/pump-7/meter"
    with pytest.raises(DeviceError):
        filler("dt/{Serial}")
    assert topics.fill("dt/{Serial}") == "dt/s-1"
    assert filler("dt/{Serial}/{source}") == "dt/s-1/app"


def test_one_without_a_value_is_an_error_only_when_it_is_named() -> None:
    find = device.finder({"Serial": FromCommand(command=("false",))}, NOTHING_OWN)
    topics = Topics(CREDENTIAL.topic_values, find)
    assert topics.fill("dt/{thing}") == "dt/pump-7"
    with pytest.raises(DeviceError, match="Serial: command:false ended with exit status 1"):
        topics.fill("dt/{Serial}")
    with pytest.raises(DeviceError, match="there is no value for"):
        topics.fill("dt/{Other}")


def test_what_others_send_is_filled_from_what_no_program_has_to_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site").write_text("\ufeffleeds\r\n")
    monkeypatch.setenv("LINE", "l-7")
    sources: dict[str, Source] = {
        "Site": FromFile(file=str(tmp_path / "site")),
        "Line": FirstOf(first_of=(FromFile(file="/nowhere"), FromEnvironment(env="LINE"))),
        "Serial": FirstOf(first_of=(FromCommand(command=("echo", "s-1")),)),
        "Kind": "pump",
    }
    find = device.finder(sources, NOTHING_OWN)
    at_once = device.finder(sources, NOTHING_OWN, runs_programs=False)
    filler = Topics(CREDENTIAL.topic_values, find, at_once).filler("app")
    assert filler("dt/{thing}/{Site}/{Line}/{Kind}") == "dt/pump-7/leeds/l-7/pump"
    with pytest.raises(DeviceError, match=r"{Serial} comes from a program"):
        filler("dt/{Serial}")
    with pytest.raises(DeviceError, match="there is no value for"):
        filler("dt/{Other}")
