"""An SDK that does not fit, and a package that is not there, told from a mistake of ours."""

import os
import types

import pytest

from fleet_agent.errors import DeviceError
from fleet_agent.session import sdk


def test_one_that_is_too_old() -> None:
    module = types.ModuleType("awscrt.mqtt5")
    with pytest.raises(
        DeviceError, match=r"awscrt\.mqtt5 is too old: it has no TopicAl.*ons\."
    ) as caught:
        sdk.require(module)
    assert (caught.value.code, caught.value.remedy) == ("sdk-incomplete", sdk.REMEDY)
    module.TopicAliasingOptions = object  # type: ignore[attr-defined]
    sdk.require(module)


def test_where_it_would_abort_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a chroot in which nobody has mounted /dev."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(DeviceError, match="/dev/urandom") as caught:
        sdk.require(types.ModuleType("awscrt.mqtt5"))
    assert (caught.value.code, "mount --bind /dev" in caught.value.remedy) == (
        "no-random-numbers",
        True,
    )


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ImportError("No module.", name="awscrt.x"), "sdk-incomplete"),
        (ImportError("No module.", name="awsiot"), "sdk-incomplete"),
        (ImportError("No module.", name="_awscrt"), "sdk-incomplete"),
        (ImportError("No module.", name="yaml.nodes"), "package-missing"),
        (ImportError("No module.", name="cryptography.x509"), "package-missing"),
        (ImportError("No module.", name="_cffi_backend"), "package-missing"),
        (ImportError("No module.", name="json"), None),
        (ImportError("No module.", name="x.awscrt"), None),
        (ImportError("No module."), None),
        (
            AttributeError("no attribute.", name="x", obj=types.ModuleType("awscrt.io")),
            "sdk-incomplete",
        ),
        (AttributeError("no attribute.", name="x", obj=types.ModuleType("os")), None),
        (AttributeError("no attribute.", name="awscrt", obj="a text"), "sdk-incomplete"),
        (AttributeError("no attribute.", name="x", obj="a text"), None),
    ],
)
def test_whose_lack_it_is(error: ImportError | AttributeError, code: str | None) -> None:
    found = sdk.misfit(error)
    assert (found and found.code) == code
    if found is not None:
        assert found.remedy == sdk.REMEDY
        assert str(error) in found.title
        assert ".." not in found.title
