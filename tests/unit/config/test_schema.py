"""The JSON Schema and the loader say the same of the same file, as far as a schema can say it."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from fleet_agent.config.load import load
from fleet_agent.config.schema import json_schema
from fleet_agent.config.settings import Settings
from fleet_agent.config.write import effective
from support.configurations import Folder
from unit.config.test_load import EVERYTHING

SCHEMA = json_schema()
VALIDATOR = Draft202012Validator(SCHEMA)

# path in a good configuration → a value that is wrong there, for both
FAULTS: list[tuple[list[str | int], Any]] = [
    (["endpoint"], None),
    (["endpoint"], "https://a.example"),
    (["endpoint"], "a/b"),
    (["port"], 0),
    (["port"], 65536),
    (["port"], "8883"),
    (["port"], 8883.5),
    (["prot"], 1),
    (["ca_file"], 1),
    (["proxy"], "proxy:3128"),
    (["claim", "after_success"], "burn"),
    (["claim", "passphrase"], "x"),
    (["provisioning", "template"], "a b"),
    (["provisioning", "method"], "CSR"),
    (["provisioning", "key", "type"], "rsa-1024"),
    (["provisioning", "spread"], 60),
    (["provisioning", "spread"], "60"),
    (["provisioning", "spread"], "1.5h"),
    (["provisioning", "parameters", "Place"], False),
    (["provisioning", "parameters", "Place"], 7),
    (["provisioning", "parameters", "Place"], None),
    (["provisioning", "parameters", "Place"], "x" * 4097),
    (["provisioning", "parameters", ""], "x"),
    (["provisioning", "parameters", "Serial"], {"first_of": []}),
    (["provisioning", "parameters", "Serial"], {"first_of": [{"nothing": 1}]}),
    (["provisioning", "parameters", "Serial"], {"dmi": "a", "mac": "auto"}),
    (["provisioning", "parameters", "Mac"], {"mac": ""}),
    (["provisioning", "parameters", "Revision"], {"command": "cat"}),
    (["provisioning", "parameters", "Revision"], {"command": ["cat"], "timeout": 1}),
    (["provisioning", "parameters", "Site"], {"env": "$A"}),
    (["telemetry"], None),
    (["telemetry", "topic"], "a/+"),
    (["telemetry", "queue"], {"max_messages": 0}),
    (["telemetry", "sources", 0, "system", "interval"], 60),
    (["telemetry", "sources", 0], {"socket": {"path": "x"}}),
    (["subscriptions"], {}),
    (["subscriptions", 0, "qos"], 2),
    (["subscriptions", 0, "log"], "yes"),
    (["subscriptions", 0, "topic"], ""),
    (["subscriptions", 1], {"qos": 1}),
    (["state_dir"], None),
]


def changed(path: list[str | int], value: object) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(EVERYTHING)
    place: Any = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return document


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_a_good_file_is_good_for_both(folder: Folder) -> None:
    folder.load(EVERYTHING)
    assert list(VALIDATOR.iter_errors(yaml.safe_load(EVERYTHING))) == []


@pytest.mark.parametrize(("path", "value"), FAULTS, ids=lambda value: repr(value)[:50])
def test_a_fault_is_one_for_both(folder: Folder, path: list[str | int], value: object) -> None:
    document = changed(path, value)
    assert folder.problems(yaml.safe_dump(document))
    assert list(VALIDATOR.iter_errors(document))


@pytest.mark.parametrize("key", ["endpoint", "claim.private_key", "provisioning.template"])
def test_a_missing_key_is_one_for_both(folder: Folder, key: str) -> None:
    document = yaml.safe_load(EVERYTHING)
    *sections, last = key.split(".")
    place = document
    for section in sections:
        place = place[section]
    del place[last]
    assert len(folder.problems(yaml.safe_dump(document))) == 1
    assert len(list(VALIDATOR.iter_errors(document))) == 1


@pytest.mark.parametrize("text", ["endpoint: a.example", EVERYTHING])
def test_what_is_shown_is_good_for_both_and_says_the_same_again(folder: Folder, text: str) -> None:
    settings = folder.load(text)
    written = effective(settings)
    assert list(VALIDATOR.iter_errors(written)) == []
    assert folder.load(yaml.safe_dump(written, allow_unicode=True)) == settings


def test_the_schema_names_every_key_with_a_description() -> None:
    sections = [SCHEMA, *SCHEMA["$defs"].values()]
    keys = [entry for section in sections for entry in section["properties"].values()]
    assert len(keys) > 30
    assert all(entry["description"] for entry in keys)


def test_the_defaults_in_the_schema_are_the_loaders(folder: Folder) -> None:
    defaults = {
        key: entry["default"] for key, entry in SCHEMA["properties"].items() if "default" in entry
    }
    text = json.dumps({"endpoint": "a.example", **defaults})
    assert folder.load(text) == Settings(endpoint="a.example")


def test_the_example_is_good_for_both_and_names_the_schema_first(root_dir: Path) -> None:
    file = root_dir / "packaging" / "example" / "config.yaml"
    text = file.read_text()
    first = text.splitlines()[0]
    assert first == "# yaml-language-server: $schema=/usr/share/fleet-agent/config.schema.json"
    assert load(file).provisioning
    assert list(VALIDATOR.iter_errors(yaml.safe_load(text))) == []


def test_what_the_example_comments_out_is_good_too(root_dir: Path, folder: Folder) -> None:
    lines = (root_dir / "packaging" / "example" / "config.yaml").read_text().splitlines()
    keys = ("ca_file:", "proxy:", "Site:", "Revision:", "Mac:")
    shown = [
        line.replace("# ", "", 1) if line.strip().removeprefix("# ").startswith(keys) else line
        for line in lines
    ]
    assert shown != lines
    settings = folder.load("\n".join(shown))
    assert settings.proxy
    assert settings.provisioning
    assert set(settings.provisioning.parameters) >= {"Site", "Revision", "Mac"}
