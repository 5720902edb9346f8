"""What the Debian package says of itself, against what it is made from."""

import ast
import fnmatch
import re
import tomllib
from pathlib import Path

from fleet_agent import __version__


def control(root_dir: Path) -> str:
    return (root_dir / "packaging" / "debian" / "control").read_text()


def test_one_version(root_dir: Path) -> None:
    """Nothing says another one; what names it in text is written by scripts/version or scripts/reference.py."""
    project = tomllib.loads((root_dir / "pyproject.toml").read_text())
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {
        "attr": "fleet_agent.__version__"
    }
    assert not (root_dir / "packaging/debian/changelog").exists()
    assert [file.name for file in (root_dir / "packaging/yocto").rglob("fleet-agent_*.bb")] == [
        f"fleet-agent_{__version__}.bb"
    ]


def test_depends_on_what_the_agent_imports(root_dir: Path) -> None:
    """Each dependency of a device is Debian's, with the same least version, or carried along."""
    project = tomllib.loads((root_dir / "pyproject.toml").read_text())["project"]
    script = (root_dir / "scripts" / "build-deb").read_text()
    debian = {
        "cryptography": "python3-cryptography",
        "PyYAML": "python3-yaml",
        "systemd-python": "python3-systemd",
    }
    for dependency in project["dependencies"]:
        name, least = re.split(">=", dependency)
        if name in debian:
            assert f"{debian[name]} (>= {least})" in control(root_dir)
        else:
            assert f"pinned {name}" in script


def imported(root_dir: Path) -> set[str]:
    """The SDK's modules that the agent imports, wherever in a file it does."""
    found = set()
    for file in (root_dir / "agent" / "fleet_agent").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {each.name for each in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found |= {node.module, *(f"{node.module}.{each.name}" for each in node.names)}
    return {name for name in found if name.startswith(("awscrt.", "awsiot."))}


def test_no_module_that_the_agent_imports_is_left_out(root_dir: Path) -> None:
    script = (root_dir / "scripts" / "build-deb").read_text()
    (words,) = re.findall(r"^ +rm -rf (awsiot/(?:.+\\\n)+.+)$", script, re.MULTILINE)
    left_out = {
        name.removesuffix(".py").replace("/", ".") for name in words.split() if name != "\\"
    }
    assert "awscrt.auth" in left_out
    wanted = imported(root_dir)
    assert "awscrt.mqtt5" in wanted
    for pattern in left_out:
        assert not fnmatch.filter(wanted, pattern), pattern
        assert not fnmatch.filter(wanted, f"{pattern}.*"), pattern
