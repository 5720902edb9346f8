"""A configuration as files in a folder of its own."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from fleet_agent.config.load import load
from fleet_agent.config.settings import Settings
from fleet_agent.errors import ConfigurationError


class Folder:
    """A folder with config.yaml and its drop-ins, and what loading it gives."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path / "config.yaml"

    def write(self, text: str | bytes, name: str = "config.yaml") -> Path:
        target = self.path / name
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(text if isinstance(text, bytes) else text.encode())
        return target

    def load(
        self, text: str | bytes | None = None, overrides: Mapping[str, object] | None = None
    ) -> Settings:
        if text is not None:
            self.write(text)
        return load(self.file, overrides=overrides)

    def problems(
        self, text: str | bytes | None = None, overrides: Mapping[str, object] | None = None
    ) -> list[str]:
        """The lines of the error, without the folder's own name before the file's."""
        with pytest.raises(ConfigurationError) as caught:
            self.load(text, overrides)
        return [line.replace(f"{self.path}/", "") for line in caught.value.problems]
