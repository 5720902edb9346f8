"""The Yocto recipe says what the code says. Only bitbake can build it (packaging/yocto/README.md)."""

import ast
import hashlib
import re
import shutil
import subprocess
import sys
import textwrap
import types
from pathlib import Path

import pytest

from fleet_agent import __version__

# Which package of OE-core has a module of the standard library, by python3-manifest.json; what is not here is in core.
PACKAGES = {
    "asyncio": "asyncio",
    "base64": "netclient",
    "concurrent": "asyncio",
    "contextvars": "numbers",
    "ctypes": "ctypes",
    "datetime": "datetime",
    "difflib": "difflib",
    "fcntl": "fcntl",
    "getpass": "unixadmin",
    "codecs": "codecs",
    "gzip": "compression",
    "hashlib": "crypt",
    "hmac": "netclient",
    "http": "netclient",
    "json": "json",
    "logging": "logging",
    "mmap": "mmap",
    "pickle": "pickle",
    "pprint": "pprint",
    "queue": "threading",
    "random": "math",
    "resource": "resource",
    "secrets": "netclient",
    "shlex": "shell",
    "socket": "io",
    "sqlite3": "sqlite3",
    "ssl": "io",
    "string": "stringold",
    "tarfile": "compression",
    "tempfile": "io",
    "syslog": "syslog",
    "termios": "io",
    "tty": "terminal",
    "tomllib": "tomllib",
    "urllib.request": "netclient",
    "uuid": "netclient",
    "xml": "xml",
    "zipfile": "compression",
    "zoneinfo": "zoneinfo",
}
CORE = frozenset(
    [
        "__future__",
        "argparse",
        "ast",
        "binascii",
        "bisect",
        "collections",
        "contextlib",
        "copy",
        "csv",
        "dataclasses",
        "enum",
        "errno",
        "fnmatch",
        "functools",
        "gc",
        "glob",
        "grp",
        "heapq",
        "importlib",
        "inspect",
        "io",
        "ipaddress",
        "itertools",
        "keyword",
        "locale",
        "math",
        "operator",
        "os",
        "pathlib",
        "platform",
        "posixpath",
        "pwd",
        "re",
        "reprlib",
        "select",
        "selectors",
        "shutil",
        "signal",
        "stat",
        "struct",
        "subprocess",
        "sys",
        "textwrap",
        "threading",
        "time",
        "traceback",
        "types",
        "typing",
        "urllib",
        "weakref",
        "zlib",
    ]
)
OTHERS = {
    "awscrt": "aws-iot-device-sdk-python-v2",  # which depends on aws-crt-python
    "awsiot": "aws-iot-device-sdk-python-v2",
    "cryptography": "python3-cryptography",
    "systemd": "python3-systemd",
    "yaml": "python3-pyyaml",
}


RECIPE = f"recipes-iot/fleet-agent/fleet-agent_{__version__}.bb"


@pytest.fixture
def layer(root_dir: Path) -> Path:
    return root_dir / "packaging/yocto"


@pytest.fixture
def recipe(layer: Path) -> str:
    return (layer / RECIPE).read_text()


def imported(package: Path) -> set[str]:
    """Modules that the agent imports, wherever in a file."""
    found: set[str] = set()
    for file in package.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module)
    return {name for name in found if not name.startswith("fleet_agent")}


def wanted(name: str) -> str:
    top = name.partition(".")[0]
    if top in OTHERS:
        return OTHERS[top]
    package = PACKAGES.get(name) or PACKAGES.get(top)
    assert package or top in CORE, f"{name}: look it up in OE-core's python3-manifest.json"
    return f"python3-{package or 'core'}"


def test_each_import_is_depended_on(recipe: str, root_dir: Path) -> None:
    named = re.search(r'RDEPENDS:\$\{PN\} \+= "\\\n(.*?)"', recipe, re.DOTALL)
    assert named
    depends = set(named[1].replace("\\", "").split())
    missing = {wanted(name) for name in imported(root_dir / "agent/fleet_agent")} - depends
    assert not missing, f"RDEPENDS of {RECIPE} lacks {missing}"


def test_the_licenses_checksum(recipe: str, root_dir: Path) -> None:
    checksum = hashlib.md5((root_dir / "LICENSE").read_bytes()).hexdigest()
    assert f"file://LICENSE;md5={checksum}" in recipe


def test_every_file_it_installs_is_there(recipe: str, root_dir: Path) -> None:
    sources = re.findall(r"\$\{S\}/(\S+)", recipe)
    assert len(sources) > 5
    for source in sources:
        assert list(root_dir.glob(source)), source


def test_the_service_is_the_one_of_debian(recipe: str, root_dir: Path) -> None:
    service = re.search(r'SYSTEMD_SERVICE:\$\{PN\} = "(.*)"', recipe)
    assert service
    assert service[1].split() == ["fleet-agent.service", "fleet-agent.socket"]
    unit = (root_dir / "systemd/fleet-agent.service").read_text()
    user = (root_dir / "packaging/yocto/recipes-iot/fleet-agent/fleet-agent-user.inc").read_text()
    assert "User=_fleet-agent" in unit
    assert re.search(r'USERADD_PARAM.* _fleet-agent"', user)


def test_no_recipe_overrides_where_the_release_unpacks(layer: Path) -> None:
    """A recipe is read after bitbake.conf, so even its weakest default wins; layer.conf is read before."""
    setting = re.compile(r"^UNPACKDIR\b.*=", re.MULTILINE)
    assert [file.name for file in layer.rglob("*.*") if setting.search(file.read_text())] == [
        "layer.conf"
    ]


def test_the_configuration_is_unpacked_without_its_folders(layer: Path) -> None:
    text = next(layer.rglob("fleet-agent-config_*.bb")).read_text()
    named = re.findall(r"file://(\S+)", text.partition("SRC_URI")[2].partition("S = ")[0])
    assert len(named) == 3
    for name in named:
        assert "$" not in name
        assert not name.startswith("/")
        assert name in text.replace("$file", Path(name).name)
    assert 'FILESEXTRAPATHS:prepend := "${FLEET_AGENT_CONFIG_DIR}:"' in text


def test_without_configuration_the_recipe_is_skipped(layer: Path) -> None:
    text = next(layer.rglob("fleet-agent-config_*.bb")).read_text()
    function = re.search(r"^python \(\) \{\n(.*?)^\}", text, re.MULTILINE | re.DOTALL)
    assert function
    skip = compile(textwrap.dedent(function[1]), "recipe", "exec")
    bb = types.SimpleNamespace(parse=types.SimpleNamespace(SkipRecipe=LookupError))
    with pytest.raises(LookupError, match="FLEET_AGENT_CONFIG_DIR"):
        exec(skip, {"bb": bb, "d": types.SimpleNamespace(getVar={}.get)})
    given = {"FLEET_AGENT_CONFIG_DIR": "/home/me/image"}
    exec(skip, {"bb": bb, "d": types.SimpleNamespace(getVar=given.get)})


def test_the_sources_are_the_layers_own_commit(recipe: str) -> None:
    assert "AUTOREV" not in recipe
    assert "get_metadata_git_revision(d.getVar('THISDIR'))" in recipe


def test_the_layers_papers(layer: Path) -> None:
    """What yocto-check-layer looks for."""
    readme = (layer / "README.md").read_text().lower()
    assert "maintainer" in readme
    assert "patch" in readme
    assert (layer / "SECURITY.md").exists()
    depends = (layer / "conf/layer.conf").read_text()
    assert "scarthgap walnascar whinlatter wrynose" in depends


def test_lint(layer: Path) -> None:
    lint = shutil.which("oelint-adv", path=str(Path(sys.executable).parent)) or shutil.which(
        "oelint-adv"
    )
    if not lint:
        pytest.skip("pip install oelint-adv")
    command = re.search(r"\noelint-adv (.*?)\n```", (layer / "README.md").read_text(), re.DOTALL)
    assert command
    words = command[1].replace("\\\n", "")
    done = subprocess.run(
        ["sh", "-c", f"{lint} --quiet {words}"],
        cwd=layer.parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
