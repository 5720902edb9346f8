"""The doctor's list of what the SDK must have is what the agent uses of it."""

import ast
from pathlib import Path

from fleet_agent.doctor.sdk import NEEDED, OPTIONAL

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
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                module = _MODULES.get(node.value.id)
                if module and node.attr[0].isupper():
                    found.add(f"{module}.{node.attr}")
    return found


def test_the_list_is_whole(root_dir: Path) -> None:
    listed = {f"{module}.{name}" for module, names in NEEDED.items() for name in names}
    assert used(root_dir) - set(OPTIONAL) == listed
