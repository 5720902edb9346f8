"""The reference pages say what the code says."""

import json
import re
from pathlib import Path

import pytest
import yaml

import reference
from fleet_agent.config.annotations import annotation, hints, unwrap
from fleet_agent.config.positions import MAX_DEPTH, MAX_NODES
from fleet_agent.config.settings import Settings
from fleet_agent.config.shape import Doc
from fleet_agent.device.machine_id import APPLICATION
from fleet_agent.programs.launch import ENVIRONMENT
from support.configurations import Folder


@pytest.mark.parametrize("name", reference.PAGES)
def test_the_page_is_what_the_code_makes_of_it(name: str) -> None:
    written = (reference.REFERENCE / name).read_text()
    assert written == reference.page(name), "run: python scripts/reference.py"


@pytest.mark.parametrize("path", [path for path, _ in reference.sections(Settings)])
def test_every_keys_example_is_yaml_with_that_key(path: str) -> None:
    cls = dict(reference.sections(Settings))[path]
    for name, annotated in hints(cls).items():
        doc = annotation(unwrap(annotated)[1], Doc)
        assert doc
        assert list(yaml.safe_load(doc.example)) == [name]


def test_every_example_of_the_top_level_is_accepted(folder: Folder) -> None:
    examples = [annotation(unwrap(annotated)[1], Doc) for annotated in hints(Settings).values()]
    settings = folder.load("\n".join(doc.example for doc in examples if doc))
    assert settings.proxy == "http://proxy.example.com:3128"


def test_the_limits_in_the_text_are_the_codes(root_dir: Path) -> None:
    text = (root_dir / "docs/reference/configuration.md").read_text()
    assert f"at most {MAX_DEPTH} levels deep and {MAX_NODES} values" in text
    parameters = (root_dir / "docs/reference/parameters.md").read_text()
    assert str(APPLICATION) in parameters
    assert ENVIRONMENT["PATH"] in parameters


def test_the_yaml_and_json_in_the_text_are_well_formed(root_dir: Path, folder: Folder) -> None:
    text = (root_dir / "docs/reference/parameters.md").read_text()
    blocks = dict.fromkeys(("yaml", "json"), 0)
    for kind, block in re.findall(r"```(yaml|json)\n(.*?)```", text, re.DOTALL):
        blocks[kind] += 1
        if kind == "json":
            assert json.loads(block)["schema"] == 1
        elif "provisioning" in block:
            assert folder.load(f"endpoint: a.example\n{block}").provisioning
    assert blocks == {"yaml": 2, "json": 1}
