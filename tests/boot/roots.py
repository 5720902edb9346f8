"""Debian roots to boot: a base made with mmdebstrap, cached by what is in it, and on top of it one with the .deb.

The cache is ``$XDG_CACHE_HOME/fleet-agent`` (else ``~/.cache/fleet-agent``). Making a base takes one to two minutes.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

SUITES = ("bookworm", "trixie")  # CI boots the first, --thorough all of them
PACKAGES = (
    # What an image has anyway, and what fleet-agent depends on.
    "systemd,systemd-sysv,dbus,ca-certificates,openssl,python3,python3-cryptography,python3-yaml,python3-systemd"
)
# Those, and what maintainer scripts call, each by name: what is only unpacked brings nothing that is essential.
FOREIGN = (
    "base-files,base-passwd,ca-certificates,coreutils,dash,dpkg,findutils,grep,init-system-helpers,openssl,perl-base,"
    "python3,python3-cryptography,python3-systemd,python3-yaml,sed,systemd,tar,util-linux"
)
# Nothing of the host's own configuration of apt but where packages come from; no documentation but man pages.
OPTIONS = (
    "--variant=minbase",
    "--aptopt=APT::Install-Recommends false",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-include=/usr/share/doc/*/copyright",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
)


def cache() -> Path:
    """Where roots are kept from one run to the next."""
    above = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(above) / "fleet-agent"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """One process at a time."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def base_root(suite: str, packages: str = PACKAGES, kind: str = "") -> Path:
    """A Debian with everything that the package depends on, but not the package; made when it is not cached.

    Args:
        suite: Debian's name of the release.
        packages: What is in it.
        kind: Tells roots with other packages apart.
    """
    # The Debian to come promises its lists for a week at a time, and a mirror may be later than that.
    late = ('--aptopt=Acquire::Check-Valid-Until "false"',)
    options = OPTIONS if suite in SUITES else (*OPTIONS, *late)
    key = hashlib.sha256(repr((suite, packages, options)).encode()).hexdigest()[:16]
    root = cache() / f"{suite}{kind}-{key}"
    with alone(cache() / "lock"):
        if not root.exists():
            _make(root, suite, packages, options)
    return root


def foreign_root(suite: str, architecture: str) -> Path:
    """A Debian of another architecture, unpacked and not configured: no script of it has run.

    The release as it came out: mirrors lay the updates of rarer architectures hours after those of the others.
    """
    release = r'--setup-hook=sed -i -E "/-(updates|security) /d" "$1/etc/apt/sources.list"'
    merged = "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr"
    options = ("--variant=extract", f"--architectures={architecture}", release, merged)
    key = hashlib.sha256(repr((FOREIGN, options)).encode()).hexdigest()[:16]
    root = cache() / f"{suite}.{architecture}-{key}"
    with alone(cache() / "lock"):
        if not root.exists():
            _make(root, suite, FOREIGN, options)
            # What the scripts would have made of it.
            shutil.copy("/etc/ssl/certs/ca-certificates.crt", root / "etc" / "ssl" / "certs")
            for name in ("passwd", "group"):
                shutil.copy(root / "usr/share/base-passwd" / f"{name}.master", root / "etc" / name)
    return root


def _make(root: Path, suite: str, packages: str, options: Sequence[str]) -> None:
    # Of another list of packages, or half made.
    for old in cache().glob(f"{root.name.rpartition('-')[0]}-*"):
        for mounts in ("proc", "sys", "dev/shm", "dev/pts"):  # a killed mmdebstrap's
            subprocess.run(
                ["umount", "--lazy", str(old / mounts)], check=False, capture_output=True
            )
        shutil.rmtree(old)
    growing = root.with_name(f"{root.name}.growing")
    command = ["mmdebstrap", *options, f"--include={packages}", suite, str(growing)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"mmdebstrap: {done.stderr[-2000:]}")
    # As golden images have it: every boot of a fresh copy makes its own machine id.
    (growing / "etc" / "machine-id").write_text("uninitialized\n")
    (growing / "etc" / "hostname").write_text("device\n")
    growing.rename(root)


def mount(lower: Path, folder: Path) -> Path:
    """Lays a writable root over one that stays as it is; ``folder`` gets what is written.

    ``/var`` is a copy and not a layer: an agent that finds its state on an overlay doubts that it lasts.
    """
    for name in ("upper", "work", "root"):
        (folder / name).mkdir(parents=True)
    layers = f"lowerdir={lower},upperdir={folder}/upper,workdir={folder}/work"
    run("mount", "-t", "overlay", "overlay", "-o", layers, str(folder / "root"))
    run("cp", "-a", str(lower / "var"), str(folder / "var"))
    run("mount", "--bind", str(folder / "var"), str(folder / "root" / "var"))
    return folder / "root"


def unmount(root: Path) -> None:
    """Takes the layers away; what was written stays in their folder until somebody removes that."""
    for target in (root / "var", root):
        subprocess.run(["umount", "--lazy", str(target)], check=False, capture_output=True)


def install(root: Path, deb: Path) -> str:
    """Installs or upgrade a package in a root that is not running, without any network; gives what was said."""
    shutil.copy(deb, root / "root" / deb.name)
    return inside(root, "dpkg", "-i", f"/root/{deb.name}")


def inside(root: Path, *command: str, options: Sequence[str] = ()) -> str:
    """Runs a command in a root that is not running, without any network; gives its stdout and stderr."""
    ours = ["--quiet", "--register=no", "--keep-unit", "--private-network", "--pipe"]
    said = run("systemd-nspawn", *ours, *options, "-D", str(root), *command)
    noise = "Attempted to remove disk file system"  # systemd-nspawn's, at its end; harmless
    return "".join(line for line in said.splitlines(keepends=True) if not line.startswith(noise))


def run(*command: str) -> str:
    """Runs a command that must work; gives its stdout and stderr."""
    done = subprocess.run(
        command,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.returncode}\n{done.stdout}"
    return done.stdout
