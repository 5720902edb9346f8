"""Topics filled from values that others chose."""

import dataclasses
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as some

from fleet_agent.errors import DeviceError
from fleet_agent.topics.template import fill
from support.identity import CREDENTIAL


def with_site(site: str) -> Mapping[str, str]:
    return dataclasses.replace(CREDENTIAL, device_configuration={"site": site}).topic_values


def test_every_kind_of_name_is_filled_in() -> None:
    others = {"SerialNumber": "1", "site": "unused"}.get
    template = "{site}/{ring:0}/{thing}/{certificate_id}/{source}/{SerialNumber}"
    assert (
        fill(template, CREDENTIAL.topic_values, "meter", others)
        == "north/a.b/pump-7/c0ffee/meter/1"
    )
    assert fill("cmd/{thing}/+/#", CREDENTIAL.topic_values) == "cmd/pump-7/+/#"


def test_without_a_thing_the_certificates_id_stands_for_it() -> None:
    assert (
        fill("dt/{thing}", dataclasses.replace(CREDENTIAL, thing_name=None).topic_values)
        == "dt/c0ffee"
    )


def test_a_value_is_not_filled_in_itself() -> None:
    assert fill("dt/{site}", with_site("{thing}")) == "dt/{thing}"


@pytest.mark.parametrize("name", ["nothing", "source"])
def test_an_unknown_name_is_told_with_the_topic(name: str) -> None:
    with pytest.raises(DeviceError) as caught:
        fill(f"dt/{{{name}}}", CREDENTIAL.topic_values)
    assert f"dt/{{{name}}}" in caught.value.title
    assert "Known are certificate_id, ring:0, site, thing" in caught.value.remedy


@pytest.mark.parametrize("value", ["", "a/b", "+", "a#", "a\nb", "\x00", "\ud800", "\uffff"])
def test_a_value_that_would_make_another_topic_is_refused(value: str) -> None:
    with pytest.raises(DeviceError, match=r"dt/\{site\}.*\{site\} is"):
        fill("dt/{site}", with_site(value))


def test_no_value_makes_it_a_topic_of_aws_iot() -> None:
    with pytest.raises(DeviceError, match=r"\{site\} is .*cannot be a level"):
        fill("{site}/things", with_site("$aws"))
    assert fill("dt/{site}", with_site("$aws")) == "dt/$aws"


def test_too_long_once_filled_in() -> None:
    with pytest.raises(DeviceError, match="306 bytes; AWS IoT allows 256"):
        fill("dt/{site}/on", with_site("é" * 150))


@given(some.text(max_size=80))
def test_no_value_changes_the_shape(value: str) -> None:
    try:
        topic = fill("dt/{site}/x", with_site(value))
    except DeviceError:
        return
    assert topic == f"dt/{value}/x"
    assert value
    assert topic.count("/") == 2
    assert not set("+#\n\0") & set(topic)
