"""An SDK that does not fit, and a package that is not there, told from a mistake of ours."""

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


@pytest.mark.parametrize(
    ("error", "is_told"),
    [
        (ImportError("No module.", name="awscrt.x"), True),
        (ImportError("No module.", name="awsiot"), True),
        (ImportError("No module.", name="_awscrt"), True),
        (ImportError("No module.", name="yaml.nodes"), True),
        (ImportError("No module.", name="cryptography.x509"), True),
        (ImportError("No module.", name="_cffi_backend"), True),
        (ImportError("No module.", name="json"), False),
        (ImportError("No module.", name="x.awscrt"), False),
        (ImportError("No module."), False),
        (AttributeError("no attribute.", name="x", obj=types.ModuleType("awscrt.io")), True),
        (AttributeError("no attribute.", name="x", obj=types.ModuleType("os")), False),
        (AttributeError("no attribute.", name="awscrt", obj="a text"), True),
        (AttributeError("no attribute.", name="x", obj="a text"), False),
    ],
)
def test_whose_lack_it_is(error: ImportError | AttributeError, is_told: bool) -> None:
    found = sdk.misfit(error)
    assert (found is not None) is is_told
    if found is not None:
        assert str(error) in found.title
        assert ".." not in found.title
