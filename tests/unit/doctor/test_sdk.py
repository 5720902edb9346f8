"""The doctor's list of what the SDK must have is what the agent uses of it."""

import ast
import importlib
import types
from pathlib import Path

import pytest
from awscrt import mqtt5

from fleet_agent.doctor.sdk import NEEDED, OPTIONAL
from fleet_agent.errors import DeviceError
from fleet_agent.session.sdk import misfit, require

_IMPORTERS = (
    "session/mqtt.py",
    "session/packets.py",
    "session/tls.py",
    "provisioning/aws.py",
    "provisioning/answers.py",
)
_MODULES = {"io": "awscrt.io", "http": "awscrt.http", "mqtt5": "awscrt.mqtt5", "mqtt": "awscrt.mqtt",
            "iotidentity": "awsiot.iotidentity"}  # fmt: skip


def used(root_dir: Path) -> set[str]:
    """``module.Name`` for each name of the SDK that the agent's source has."""
    found = set()
    for importer in _IMPORTERS:
        tree = ast.parse((root_dir / "agent/fleet_agent" / importer).read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr[0].isupper():
                # ``mqtt5.Client``, and ``sdk.mqtt5.Client``.
                owner = node.value
                module = _MODULES.get(getattr(owner, "attr", getattr(owner, "id", "")))
                if module:
                    found.add(f"{module}.{node.attr}")
    return found


def test_the_list_is_whole(root_dir: Path) -> None:
    listed = {f"{module}.{name}" for module, names in NEEDED.items() for name in names}
    assert used(root_dir) - set(OPTIONAL) == listed


def test_an_sdk_that_lacks_something_is_one_sentence() -> None:
    """Parts of different versions, as distributions mix them: the first lack met ends the command in words."""
    with pytest.raises(ImportError) as missing:
        importlib.import_module("awscrt.no_such_client")
    with pytest.raises(AttributeError) as absent:
        _ = mqtt5.NoSuchPacket
    for caught in (missing.value, absent.value):
        error = misfit(caught)
        assert error is not None
        assert "does not work with the agent" in error.title
        assert "requirements/device.txt" in error.remedy
    with pytest.raises(DeviceError, match="too old"):
        require(types.ModuleType("awscrt.mqtt5"))
    require(mqtt5)


def test_a_fault_of_ours_is_not_the_sdks() -> None:
    with pytest.raises(ImportError) as caught:
        importlib.import_module("fleet_agent.no_such_module")
    assert misfit(caught.value) is None
    assert misfit(AttributeError("'Session' object has no attribute 'x'", obj=object())) is None
