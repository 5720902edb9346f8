"""Packages for a booted device, and a repository of them on its own disk."""

from pathlib import Path

from boot import roots


def publish(root: Path, folder: Path, *names: str) -> None:
    """Makes packages, each a program that says hello, and the device's only source of packages.

    Args:
        root: The device's file system.
        folder: To make them in.
        names: What they are called.
    """
    repository = root / "srv" / "repository"
    repository.mkdir(parents=True)
    for name in names:
        control = folder / name / "DEBIAN" / "control"
        control.parent.mkdir(parents=True)
        control.write_text(
            f"Package: {name}\nVersion: 1.2\nArchitecture: all\nMaintainer: x <x@example>\nDescription: x\n"
        )
        program = folder / name / "usr" / "bin" / name
        program.parent.mkdir(parents=True)
        program.write_text("#!/bin/sh\necho hello\n")
        program.chmod(0o755)
        roots.run("dpkg-deb", "--root-owner-group", "--build", str(folder / name), str(repository))
    roots.run("sh", "-c", f"cd {repository} && apt-ftparchive packages . > Packages")
    roots.run("sh", "-c", f"cd {repository} && apt-ftparchive release . > Release")
    sources = root / "etc" / "apt" / "sources.list"
    sources.write_text("deb [trusted=yes] file:/srv/repository ./\n")
