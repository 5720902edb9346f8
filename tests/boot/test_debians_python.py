"""The agent's own tests again, on Debian's Python with Debian's cryptography, yaml and systemd packages.

They run inside a root with the package installed: ``fleet-agent`` is the packaged command there, and awscrt and awsiot
are the package's. pytest and what else the tests need is borrowed from the environment that runs this.
"""

import os
import shutil
import sys
import sysconfig
from pathlib import Path

import pytest

from boot import roots

# What the package or Debian has: nothing of this may come from elsewhere.
THEIRS = (
    "cryptography",
    "yaml",
    "_yaml",
    "systemd",
    "awscrt",
    "_awscrt",
    "awsiot",
    "cffi",
    "_cffi",
    "__editable__",
)
SUITES = (
    "tests/unit/credentials",
    "tests/unit/device",
    "tests/e2e/test_methods.py",
)
FOUND = """
import cryptography, yaml, systemd.daemon, awscrt, awsiot, sys
print(cryptography.__version__, *(m.__file__ for m in (cryptography, yaml, systemd.daemon, awscrt, awsiot)))
"""


def test_the_suite_on_debians_packages(installed: Path, root_dir: Path, tmp_path: Path) -> None:
    check(roots.mount(installed, tmp_path / "machine"), root_dir)


@pytest.mark.thorough
def test_the_suite_on_the_debian_to_come(deb: Path, root_dir: Path, tmp_path: Path) -> None:
    root = roots.mount(roots.base_root("sid"), tmp_path / "machine")
    roots.install(root, deb)
    check(root, root_dir)


def check(root: Path, root_dir: Path) -> None:
    """Runs the tests in a root that has the package, and takes its layers away."""
    try:
        environment = borrowed(root)
        found = roots.inside(root, "python3", "-c", FOUND, options=environment)
        version, *files = found.split()
        query = ["dpkg-query", "--show", "--showformat=${Version}", "python3-cryptography"]
        assert roots.inside(root, *query).startswith(f"{version}-")
        assert all(
            file.startswith(("/usr/lib/python3/", "/usr/lib/fleet-agent/")) for file in files
        )
        command = ["python3", "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        command += ["--basetemp=/var/tmp/pytest", "-m", "not slow", *SUITES]
        # A hardware token is not what differs there.
        command += ["--ignore=tests/unit/credentials/test_hardware_token.py"]
        if f"python{sys.version_info.major}.{sys.version_info.minor}" not in found_python(root):
            # Borrowed, hypothesis is compiled for our own Python.
            command += ["-p", "no:hypothesispytest"]
            command += [f"--ignore={name}" for name in with_hypothesis(root_dir)]
        checkout = [f"--bind-ro={root_dir}:/checkout", "--chdir=/checkout"]
        said = roots.inside(root, *command, options=[*environment, *checkout])
        assert " passed" in said
        assert "failed" not in said
    finally:
        roots.unmount(root)


def found_python(root: Path) -> str:
    return os.path.realpath(root / "usr/bin/python3")


def with_hypothesis(root_dir: Path) -> list[str]:
    files = (file for suite in SUITES for file in (root_dir / suite).glob("test_*.py"))
    return [str(file.relative_to(root_dir)) for file in files if "hypothesis" in file.read_text()]


def borrowed(root: Path) -> list[str]:
    """Shows the root our own packages but for ``THEIRS``; gives what systemd-nspawn must be told for that."""
    site = Path(sysconfig.get_paths()["purelib"])
    links = root / "borrowed"
    links.mkdir()
    for entry in site.iterdir():
        if not entry.name.lower().startswith(tuple(name.lower() for name in THEIRS)):
            (links / entry.name).symlink_to(Path("/site") / entry.name)
    # What the package leaves out of the SDK, the tests' own clients are made with.
    vendored = root / "usr/lib/fleet-agent/vendor"
    for module in (*site.glob("awscrt/**/*.py"), *site.glob("awsiot/**/*.py")):
        lent = vendored / module.relative_to(site)
        if not lent.exists():
            lent.parent.mkdir(exist_ok=True)
            shutil.copy(module, lent)
    path = "/usr/lib/fleet-agent:/usr/lib/fleet-agent/vendor:/borrowed"
    (root / "etc" / "hosts").write_text("127.0.0.1 localhost\n")  # where the sandbox is
    # The checkout is read-only.
    storage = "--setenv=HYPOTHESIS_STORAGE_DIRECTORY=/var/tmp/hypothesis"
    return [f"--bind-ro={site}:/site", f"--setenv=PYTHONPATH={path}", storage]
