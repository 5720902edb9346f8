"""``fleet-agent config`` and ``fleet-agent parameters``, from the arguments to stdout and the status."""

import json

import pytest
import yaml
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from fleet_agent.cli import main
from fleet_agent.config.settings import Settings
from support.configurations import Folder
from unit.config.test_load import EVERYTHING

Output = pytest.CaptureFixture[str]


def test_check_names_every_file_that_was_read(folder: Folder, capsys: Output) -> None:
    file = folder.write(EVERYTHING)
    drop_in = folder.write("port: 8883\n", "config.d/a.yaml")
    assert main(["config", "check", "--config", str(file)]) == 0
    assert capsys.readouterr().out == f"{file}: ok\n{drop_in}: ok\n"
    assert main(["config", "check", "--config", str(file), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    files = [str(file), str(drop_in)]
    assert answer == {"schema": 1, "valid": True, "files": files, "kept": None}


def test_check_tells_every_error_on_stderr_and_ends_with_78(
    folder: Folder, capsys: Output
) -> None:
    file = folder.write("endpoint: a b\nprot: 1\n")
    assert main(["config", "check", "--config", str(file)]) == 78
    output = capsys.readouterr()
    assert output.out == ""
    assert f"{file}:1:11: endpoint: is not a host name" in output.err
    assert f"{file}:2:1: prot: is an unknown key (did you mean port?)" in output.err


def test_check_with_json_lists_the_problems(folder: Folder, capsys: Output) -> None:
    file = folder.write("endpoint: a b\n")
    assert main(["config", "check", "--config", str(file), "--json"]) == 78
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "configuration"
    assert len(error["problems"]) == 1


def test_show_prints_what_comes_of_all_layers(folder: Folder, capsys: Output) -> None:
    file = folder.write("endpoint: a.example\n")
    folder.write("telemetry: {sources: [{system: {interval: 90s}}]}\n", "config.d/a.yaml")
    assert main(["config", "show", "--config", str(file), "--port", "443"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown["port"] == 443
    system = {"interval": "1m30s", "name": "system", "topic": None, "priority": "normal"}
    assert shown["telemetry"]["sources"] == [{"system": system}]
    assert main(["config", "show", "--config", str(file), "--port", "443", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"schema": 1, "settings": shown}


def test_what_show_prints_can_be_the_file(folder: Folder, capsys: Output) -> None:
    file = folder.write("endpoint: a.example\nstate_dir: /späte/daten\n")
    main(["config", "show", "--config", str(file)])
    assert folder.load(capsys.readouterr().out) == Settings(
        endpoint="a.example", state_dir="/späte/daten"
    )


def test_schema_needs_no_configuration(capsys: Output) -> None:
    assert main(["config", "schema"]) == 0
    Draft202012Validator.check_schema(json.loads(capsys.readouterr().out))


def test_parameters_shows_values_sources_and_warnings(folder: Folder, capsys: Output) -> None:
    folder.write("north\n", "site")
    text = "endpoint: a.example\nprovisioning: {template: t, parameters: {Site: {file: site}, Place: Oslo}}\n"
    file = folder.write(text)
    assert main(["parameters", "--config", str(file)]) == 0
    assert (
        capsys.readouterr().out
        == f"Site   north  (file:{folder.path}/site)\nPlace  Oslo  (literal)\n"
    )
    assert main(["parameters", "--config", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "schema": 1,
        "parameters": [
            {
                "name": "Site",
                "value": "north",
                "source": f"file:{folder.path}/site",
                "warnings": [],
            },
            {"name": "Place", "value": "Oslo", "source": "literal", "warnings": []},
        ],
    }


def test_parameters_shows_the_failing_ones_beside_the_others_and_ends_with_78(
    folder: Folder, capsys: Output
) -> None:
    folder.write("To Be Filled By O.E.M.", "serial")
    text = "endpoint: a.example\nprovisioning: {template: t, parameters: {S: {file: serial}, Place: Oslo}}\n"
    file = folder.write(text)
    assert main(["parameters", "--config", str(file)]) == 78
    output = capsys.readouterr()
    assert output.out == "S      no usable value\nPlace  Oslo  (literal)\n"
    assert 'has the placeholder "To Be Filled By O.E.M."' in output.err
    assert main(["parameters", "--config", str(file), "--json"]) == 78
    failed, _ = json.loads(capsys.readouterr().out)["parameters"]
    assert failed["value"] is None
    assert "placeholder" in failed["reasons"][0]


def test_parameters_of_a_configuration_that_names_none(folder: Folder, capsys: Output) -> None:
    file = folder.write("endpoint: a.example\n")
    assert main(["parameters", "--config", str(file)]) == 0
    output = capsys.readouterr()
    assert output.out == ""
    assert "names no template parameters" in output.err
