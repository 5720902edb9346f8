"""A device as a tree of ordinary files."""

from pathlib import Path

from fleet_agent.config.sources import Source
from fleet_agent.device import Parameter, Unusable, examine
from support.reserved import NOTHING_OWN


class Tree:
    """A root of a file system with the files a test wants, and what one source finds in it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, path: str, content: str | bytes) -> Path:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())
        return target

    def interface(self, name: str, index: int, address: str, *, physical: bool = True) -> Path:
        folder = self.root / "sys/class/net" / name
        facts = {"address": address, "ifindex": index, "type": 1, "addr_assign_type": 0}
        for key, value in facts.items():
            self.write(f"sys/class/net/{name}/{key}", f"{value}\n")
        if physical:
            (folder / "device").mkdir()
        return folder

    def look(
        self, source: Source, environment: dict[str, str] | None = None
    ) -> Parameter | Unusable:
        (found,) = examine(
            {"P": source}, reserved=NOTHING_OWN, root=self.root, environment=environment or {}
        )
        return found

    def found(self, source: Source, environment: dict[str, str] | None = None) -> tuple[str, str]:
        """The value and its source's words."""
        found = self.look(source, environment)
        assert isinstance(found, Parameter), found
        return found.value, found.source

    def reason(self, source: Source, environment: dict[str, str] | None = None) -> str:
        """Why there is no value."""
        found = self.look(source, environment)
        assert isinstance(found, Unusable), found
        (reason,) = found.reasons
        return reason
