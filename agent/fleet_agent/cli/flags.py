"""The flags that stand in for a configuration file, or over one: what somebody who knows the SDK's sample types."""

import argparse
import json
import os
from collections.abc import Mapping

from fleet_agent.config.paths import config_file
from fleet_agent.config.settings import Claim, Key, Provisioning, Settings
from fleet_agent.errors import UsageError

# flag, setting, hidden spelling of the SDK's sample, help
_SETTINGS = (
    ("--endpoint", "endpoint", None, "HOST", "endpoint (aws iot describe-endpoint --endpoint-type iot:Data-ATS)"),
    ("--port", "port", None, "PORT", "8883 (default), or 443 through firewalls"),
    ("--ca-file", "ca_file", "--ca_file", "FILE", "CA of the endpoint (default: the system's)"),
    ("--cert", "claim.certificate", None, "FILE", "claim certificate"),
    ("--key", "claim.private_key", None, "FILE", "the claim's private key"),
    ("--template-name", "provisioning.template", "--template_name", "NAME", "provisioning template"),
    ("--method", "provisioning.method", None, "csr|keys", "key made here (csr, default) or by AWS (keys)"),
    ("--key-type", "provisioning.key.type", None, "TYPE", "ec-p256 (default) or rsa-2048"),
    ("--telemetry-topic", "telemetry.topic", None, "TOPIC", "default dt/{thing}/{source}"),
    ("--state-dir", "state_dir", "--state_dir", "DIR", "where the identity is kept (default /var/lib/fleet-agent)"),
    ("--runtime-dir", "runtime_dir", None, "DIR", "where status.json and identity.json are shown"),
)  # fmt: skip

_PARAMETERS = "provisioning.parameters"


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Give a verb the flags for settings."""
    group = parser.add_argument_group("settings (over the configuration file, or instead of it)")
    for flag, setting, sample, metavar, text in _SETTINGS:
        group.add_argument(
            flag, dest=setting, metavar=metavar, help=text, type=int if flag == "--port" else str
        )
        if sample:
            group.add_argument(sample, dest=setting, help=argparse.SUPPRESS)
    for flag, text in (
        ("--template-parameters", 'template parameters, such as \'{"SerialNumber": "1"}\''),
        ("--template_parameters", argparse.SUPPRESS),
    ):
        group.add_argument(flag, dest=_PARAMETERS, metavar="JSON", type=_parameters, help=text)


def settings(arguments: argparse.Namespace) -> Settings:
    """The settings from file and flags together.

    Raises:
        ConfigurationError: The file has errors.
        UsageError: There is no file, and the flags do not say enough.
    """
    flags = {setting: flag for flag, setting, *_ in _SETTINGS}
    flags[_PARAMETERS] = "--template-parameters"
    given = {
        setting: value
        for setting in flags
        if (value := getattr(arguments, setting, None)) is not None
    }
    path, is_named = config_file(arguments.config, os.environ)
    if is_named or path.exists():
        from fleet_agent.config.load import load

        return load(path, overrides=given, flags=flags)
    return _from_flags(given, str(path))


def _from_flags(given: Mapping[str, object], path: str) -> Settings:
    """Settings without a file: no YAML is imported."""
    text = {setting: str(value) for setting, value in given.items()}
    if "endpoint" not in text:
        raise UsageError(
            f"There is no configuration file {path}, and no --endpoint.",
            remedy="Give --config FILE, or --endpoint --cert --key --template-name as AWS's sample does.",
            code="usage",
        )
    _check(text)
    claim = None
    if "claim.certificate" in text or "claim.private_key" in text:
        claim = Claim(
            certificate=_needed(text, "claim.certificate", "--cert"),
            private_key=_needed(text, "claim.private_key", "--key"),
        )
    parameters = given.get(_PARAMETERS, {})
    provisioning = None
    if "provisioning.template" in text:
        provisioning = Provisioning(
            template=text["provisioning.template"],
            method="keys" if text.get("provisioning.method") == "keys" else "csr",
            key=Key(
                type="rsa-2048" if text.get("provisioning.key.type") == "rsa-2048" else "ec-p256"
            ),
            parameters=parameters if isinstance(parameters, Mapping) else {},
        )
    defaults = Settings(endpoint=text["endpoint"])
    topic = text.get("telemetry.topic", defaults.telemetry.topic)
    port = given.get("port")
    return Settings(
        endpoint=text["endpoint"],
        port=port if isinstance(port, int) else defaults.port,
        ca_file=text.get("ca_file"),
        claim=claim,
        provisioning=provisioning,
        telemetry=type(defaults.telemetry)(topic=topic),
        state_dir=text.get("state_dir", defaults.state_dir),
        runtime_dir=text.get("runtime_dir"),
    )


def _needed(text: Mapping[str, str], setting: str, flag: str) -> str:
    if setting not in text:
        raise UsageError(
            f"{flag} is missing.", remedy="Give --cert and --key together.", code="usage"
        )
    return text[setting]


def _check(text: Mapping[str, str]) -> None:
    """What the loader checks in a file, for the few flags that can be wrong by themselves."""


def _parameters(text: str) -> dict[str, str]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"no JSON ({error})") from error
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise argparse.ArgumentTypeError(
            'a JSON object of texts is wanted, such as {"SerialNumber": "1"}'
        )
    return value
