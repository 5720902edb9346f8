from pathlib import Path

import pytest

from fleet_agent.config.paths import config_file, resolve_path
from fleet_agent.errors import ConfigurationError


def test_a_path_is_itself() -> None:
    assert resolve_path("/etc/claim.pem", {}) == Path("/etc/claim.pem")


def test_a_credential_is_in_the_folder_that_systemd_names() -> None:
    environment = {"CREDENTIALS_DIRECTORY": "/run/credentials/fleet-agent.service"}
    wanted = Path("/run/credentials/fleet-agent.service/claim-key")
    assert resolve_path("credential:claim-key", environment) == wanted


def test_a_credential_outside_of_a_service_says_how_to_pass_it() -> None:
    with pytest.raises(ConfigurationError, match="CREDENTIALS_DIRECTORY is not set") as caught:
        resolve_path("credential:claim-key", {})
    assert "LoadCredential=claim-key:" in caught.value.remedy


def test_the_flag_goes_over_the_variable_and_that_over_the_default() -> None:
    environment = {"FLEET_AGENT_CONFIG": "/b.yaml"}
    assert config_file("/a.yaml", environment) == (Path("/a.yaml"), True)
    assert config_file(None, environment) == (Path("/b.yaml"), True)
    assert config_file(None, {}) == (Path("/etc/fleet-agent/config.yaml"), False)
