"""The scripts of a checkout: the environment of another one is left alone, versions grow as dpkg counts."""

import ast
import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fleet_agent import __version__


def test_an_environment_of_another_checkout_is_refused_and_not_cleared(
    root_dir: Path, tmp_path: Path
) -> None:
    """Where both are told to use one folder, the second would clear it, or run the first one's code."""
    other, shared = tmp_path / "other", tmp_path / "shared"
    other.mkdir()
    (shared / "bin").mkdir(parents=True)
    for name, text in (("pyvenv.cfg", ""), (".checkout", f"{other}\n"), (".packages", "theirs")):
        (shared / name).write_text(text)
    done = subprocess.run(
        ["bash", "-c", f". {root_dir}/scripts/environment"],
        env={**os.environ, "FLEET_AGENT_VENV": str(shared)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert str(other) in done.stderr
    assert str(shared) in done.stderr
    assert (shared / ".packages").read_text() == "theirs"


@pytest.mark.parametrize("mended", [True, False])
def test_where_localhost_does_not_resolve_a_package_does_it_or_the_remedy_is_printed(
    mended: bool, root_dir: Path, tmp_path: Path
) -> None:
    """A bare Debian 12 has no /etc/hosts: the demonstration's devices would not find their sandbox."""
    script = f"""
        . {root_dir}/scripts/environment
        getent() {{ [ -e {tmp_path}/mended ]; }}
        apt_install() {{ echo "$@"; {"touch" if mended else "true"} {tmp_path}/mended; }}
        resolve_localhost && resolve_localhost
    """
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == "libnss-myhostname\n"
    assert done.returncode == (0 if mended else 1)
    assert ("127.0.0.1 localhost >>/etc/hosts" in done.stderr) is not mended


@pytest.fixture
def checkout(root_dir: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    for name in ("scripts/version", "agent/fleet_agent/__init__.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root_dir / name, folder / name)
    return folder


def git(checkout: Path, *words: str) -> None:
    who = ("-c", "user.name=x", "-c", "user.email=x@example", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", str(checkout), *who, *words], check=True, capture_output=True)


def version(checkout: Path, *words: str) -> str:
    command = [str(checkout / "scripts" / "version"), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_each_commit_has_a_greater_version(checkout: Path) -> None:
    assert version(checkout) == __version__  # an unpacked archive
    git(checkout, "init", "--quiet")
    found = []
    for number in range(12):
        (checkout / "file").write_text(str(number))
        git(checkout, "add", ".")
        git(checkout, "commit", "--quiet", "--message", str(number))
        if number == 10:
            git(checkout, "tag", "--annotate", "--message", "it", f"v{__version__}")
        found.append(version(checkout, "--debian"))
    assert found[10] == __version__
    for older, newer in itertools.pairwise(found):
        command = ["dpkg", "--compare-versions", older, "lt", newer]
        assert subprocess.run(command, check=False).returncode == 0, (older, newer)
    (checkout / "agent/fleet_agent/__init__.py").write_text('__version__ = "0.9.0"\n')
    following = version(checkout, "--debian")
    assert subprocess.run(
        ["dpkg", "--compare-versions", found[-1], "lt", following], check=False
    ).returncode == 0  # fmt: skip


def test_text_is_cut_and_the_code_is_the_same(root_dir: Path, tmp_path: Path) -> None:
    from awscrt import mqtt5

    original = Path(mqtt5.__file__).read_text()
    copy = tmp_path / "mqtt5.py"
    copy.write_text(original)
    command = [sys.executable, str(root_dir / "scripts/bare_code.py"), str(copy)]
    subprocess.run(command, check=True)
    assert len(copy.read_text()) < len(original) * 0.5
    assert "Apache-2.0" in copy.read_text()
    assert bare(copy.read_text()) == bare(original)


@pytest.mark.parametrize("more", [[], ["--but-classes"]])
def test_a_module_of_the_agent_keeps_its_lines(
    more: list[str], root_dir: Path, tmp_path: Path
) -> None:
    agent = tmp_path / "fleet_agent"
    shutil.copytree(root_dir / "agent/fleet_agent", agent)
    # One in three: all of them take six seconds of CPU, and the package's build goes through all.
    modules = sorted(agent.rglob("*.py"))[::3]
    originals = [module.read_text() for module in modules]
    command = [sys.executable, str(root_dir / "scripts/bare_code.py"), "--same-lines", *more]
    subprocess.run([*command, *map(str, modules)], check=True)
    found = [module.read_text() for module in modules]
    for module, stripped, original in zip(modules, found, originals, strict=True):
        if module.name == "__init__.py" and len(lines(original)) == 1:
            assert stripped == "", module
        else:
            assert bare(stripped) == bare(original), module
            assert lines(stripped) == lines(original), module
    assert (of_classes(found) == of_classes(originals)) is bool(more)
    assert sum(map(len, found)) < sum(map(len, originals)) * 0.8


def of_classes(sources: list[str]) -> list[str | None]:
    """The docstrings of classes."""
    return [
        ast.get_docstring(node)
        for source in sources
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ClassDef)
    ]


def lines(source: str) -> list[int]:
    """On which line each statement begins, texts aside."""
    return [node.lineno for node in ast.walk(ast.parse(source)) if isinstance(node, ast.stmt)]


def bare(source: str) -> str:
    """The code without what stands for itself, and types of arguments and results."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.returns = None
        elif isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            node.value.value = ""
    return ast.dump(tree)
