"""A machine for the agent: a root image with this checkout's agent and its Python, and QEMU that logs the data disk.

Software emulation only: no /dev/kvm, and ``-M pc``, which boots every time where ``microvm`` may hang. Nothing is
mounted to build it, and nothing of the host is written.
"""

import gzip
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

# Loaded in this order; ext4 is in the kernel.
_MODULES = (
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "virtio_blk",
    "failover",
    "net_failover",
    "virtio_net",
)
# What of the standard library no agent imports.
_LEFT_OUT = shutil.ignore_patterns(
    "site-packages",
    "test",
    "tests",
    "idlelib",
    "tkinter",
    "ensurepip",
    "lib2to3",
    "config-*",
    "*.a",
)
_DEVICE_PACKAGES = ("awscrt", "awsiotsdk", "cryptography", "cffi", "PyYAML", "systemd-python")

BUSYBOX = Path("/bin/busybox")  # the static one
BOOT_SECONDS = 300.0  # software emulation on a loaded machine; a quiet one needs 30
SECTOR = 512
DISK = 64 << 20  # bytes; what follows is for marks
MARKS = 4 << 20

_INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t devtmpfs dev /dev
for module in {modules}; do insmod /modules/$module.ko; done
ifconfig lo up; ifconfig eth0 10.0.2.15 up; route add default gw 10.0.2.2
mount -o ro /dev/vda /root
mount -t proc proc /root/proc; mount -t devtmpfs dev /root/dev; mount -t tmpfs run /root/run
mount /dev/vdb /root/data
chroot /root {command} </dev/null >/dev/ttyS0 2>&1
echo "ended with $?" >/dev/ttyS0
umount /root/data; sync; poweroff -f
"""


@dataclass(frozen=True)
class Guest:
    """What QEMU is given; ``folder`` has ``vmlinuz``, ``initrd.gz``, ``root.img``, ``data.img``, ``log.img``."""

    folder: Path

    def boot(self) -> str:
        """Runs it to its end; its console.

        Raises:
            RuntimeError: It did not come to its end.
        """
        words = ["qemu-system-x86_64", "-accel", "tcg", "-M", "pc", "-cpu", "max", "-m", "512"]
        words += ["-no-reboot", "-nodefaults", "-no-user-config", "-display", "none"]
        words += ["-serial", "file:console", "-kernel", "vmlinuz", "-initrd", "initrd.gz"]
        words += ["-append", "console=ttyS0 panic=-1 quiet mitigations=off"]
        root = "driver=file,node-name=rf,filename=root.img,read-only=on"
        words += ["-blockdev", root, "-device", "virtio-blk-pci,drive=rf"]
        words += ["-blockdev", "driver=file,node-name=df,filename=data.img"]
        words += ["-blockdev", "driver=file,node-name=lf,filename=log.img"]
        log = f"driver=blklogwrites,node-name=d,file=df,log=lf,log-sector-size={SECTOR}"
        words += ["-blockdev", log, "-device", "virtio-blk-pci,drive=d"]
        words += ["-netdev", "user,id=n", "-device", "virtio-net-pci,netdev=n,romfile="]
        (self.folder / "log.img").write_bytes(b"")
        done = subprocess.run(
            words,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=BOOT_SECONDS,
            stdin=subprocess.DEVNULL,
        )
        console = (self.folder / "console").read_text(errors="replace")
        if "ended with 0" not in console:
            raise RuntimeError(f"The guest failed: {done.stderr}\n{console[-4000:]}")
        return console


def build(folder: Path, kernel: Path, files: Mapping[Path, Path], command: Sequence[str]) -> Guest:
    """Makes kernel, initramfs, root and an empty data disk.

    Args:
        folder: Gets them.
        kernel: An unpacked ``linux-image`` package of Debian.
        files: What to have in the guest beside Python: a path there to the file or folder here.
        command: What it runs; its state directory goes below ``/data``.
    """
    shutil.copy(next(kernel.glob("boot/vmlinuz-*")), folder / "vmlinuz")
    _initramfs(folder / "initrd.gz", kernel, " ".join(command))
    with tempfile.TemporaryDirectory(prefix="root-", dir=folder) as temporary:
        root = Path(temporary)
        for name in ("proc", "dev", "run", "data", "etc", "sys", "tmp"):
            (root / name).mkdir()
        (root / "etc/hosts").write_text("10.0.2.2 localhost\n")  # user-mode networking: the host
        (root / "etc/nsswitch.conf").write_text("hosts: files\n")
        (root / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\n")
        for path in _python():
            _copy(path, root / _absolute(path))
        for target, path in files.items():
            _copy(path, root / _absolute(target))
        megabytes = 64 + sum(p.lstat().st_size for p in root.rglob("*")) // (1 << 20) * 3 // 2
        _make_ext4(folder / "root.img", f"{megabytes}M", "-d", str(root))
    _make_ext4(folder / "data.img", f"{DISK >> 20}M")
    with (folder / "data.img").open("r+b") as data:
        data.truncate(DISK + MARKS)
    shutil.copy(folder / "data.img", folder / "start.img")
    return Guest(folder)


def _make_ext4(image: Path, size: str, *more: str) -> None:
    subprocess.run(
        ["mke2fs", "-q", "-F", "-t", "ext4", *more, str(image), size],
        check=True,
        stdout=subprocess.DEVNULL,
    )


def _initramfs(image: Path, kernel: Path, command: str) -> None:
    with tempfile.TemporaryDirectory(prefix="initramfs-", dir=image.parent) as temporary:
        root = Path(temporary)
        for name in ("bin", "modules", "proc", "dev", "root"):
            (root / name).mkdir()
        shutil.copy(BUSYBOX, root / "bin/busybox")
        for module in _MODULES:
            found = next(kernel.rglob(f"{module}.ko"))
            shutil.copy(found, root / "modules")
        init = root / "init"
        init.write_text(_INIT.format(modules=" ".join(_MODULES), command=command))
        init.chmod(0o755)
        names = "\n".join(str(path.relative_to(root)) for path in root.rglob("*"))
        archive = subprocess.run(
            ["cpio", "-o", "-H", "newc", "--quiet"],
            cwd=root,
            input=names.encode(),
            capture_output=True,
            check=True,
        ).stdout
        image.write_bytes(gzip.compress(archive, 1))


def _python() -> Iterator[Path]:
    """This interpreter, its standard library, the agent's dependencies, and what they link to."""
    library = Path(sysconfig.get_path("stdlib"))
    found = [Path(sys.executable).resolve(), library, *_packages()]
    yield from found
    binaries = [found[0], *library.rglob("*.so")]
    binaries += [path for package in _packages() for path in (package, *package.rglob("*.so*"))]
    shared = set()
    for binary in binaries:
        if binary == found[0] or (binary.is_file() and ".so" in binary.name):
            said = subprocess.run(
                ["ldd", str(binary)], capture_output=True, text=True, check=False
            )
            shared |= set(re.findall(r"(/\S+)", said.stdout))
    yield from (Path(name) for name in sorted(shared))


def site_packages() -> str:
    """Where the agent's dependencies lie, for PYTHONPATH."""
    return ":".join(sorted({str(package.parent) for package in _packages()}))


def _packages() -> list[Path]:
    """The top-level files and folders of the agent's dependencies."""
    found = set()
    for name in _DEVICE_PACKAGES:
        for file in distribution(name).files or ():
            if file.parts[0] not in ("..", "__pycache__"):
                found.add(Path(str(distribution(name).locate_file(file.parts[0]))))
    return sorted(found)


def _absolute(path: Path) -> str:
    """The path below the root; links stay what they are called."""
    return os.path.abspath(path).lstrip("/")  # noqa: PTH100


def _copy(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        shutil.copytree(path, target, ignore=_LEFT_OUT, dirs_exist_ok=True)
    else:
        shutil.copy(path, target)
