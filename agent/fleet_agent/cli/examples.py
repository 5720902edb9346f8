"""Commands worth typing, by verb: shown by ``--help`` and in the manual page, imported only there.

A comment, then the command as somebody would type it; a test parses each.
"""

from collections.abc import Mapping

_BY_FLAGS = """\
fleet-agent provision --endpoint a1b2c3-ats.iot.eu-west-1.amazonaws.com \\
      --cert claim.pem.crt --key claim.pem.key --template-name fleet-v1 \\
      --template-parameters '{"SerialNumber": "1"}' --state-dir ./state"""

EXAMPLES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "": (
        ("get an identity and say who this device is now", "fleet-agent provision"),
        ("what is wrong, if anything", "fleet-agent status"),
        ("is the configuration right?", "fleet-agent config check"),
    ),
    "run": (
        ("what the service does", "fleet-agent run"),
        (
            "on a bench, beside the installed one",
            "fleet-agent run --config image/config.yaml --state-dir ./state",
        ),
    ),
    "provision": (
        ("with /etc/fleet-agent/config.yaml", "fleet-agent provision"),
        (
            "with flags alone, as AWS's sample has them",
            _BY_FLAGS,
        ),
        (
            "with a key that is somewhere else",
            "fleet-agent provision --csr device.csr --csr-key device.key",
        ),
        (
            "once more; the identity in use stays until the new one is proven",
            "fleet-agent provision --force",
        ),
        ("in a script", "fleet-agent provision --json --timeout 300"),
    ),
    "adopt": (
        (
            "a certificate that the factory or another agent left; its thing is pump-7",
            "fleet-agent adopt --cert device.pem.crt --key device.pem.key --thing-name pump-7",
        ),
        ("what the configuration's section identity names", "fleet-agent adopt"),
    ),
    "status": (
        ("for people", "fleet-agent status"),
        ("in a script, until it is connected", "fleet-agent status --wait 60"),
        ("the thing's name alone", "fleet-agent status --json | jq -r .thing_name"),
    ),
    "doctor": (
        ("everything that can be seen without the network", "fleet-agent doctor"),
        (
            "and whether AWS IoT lets claim and device do what they need",
            "fleet-agent doctor --online --account 123456789012",
        ),
        ("put owners and modes right", "fleet-agent doctor --fix"),
        ("an image mounted at /mnt, before it is copied", "fleet-agent doctor --image /mnt"),
        ("for a support case", "fleet-agent doctor --online --bundle support.tar.gz"),
    ),
    "credentials": (
        (
            "what `credential_process =` names in ~/.aws/config of a user that is allowed",
            "fleet-agent credentials --role-alias logs",
        ),
        (
            "for a program that reads AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "fleet-agent credentials --role-alias logs --token-file ~/.fleet-agent-token",
        ),
    ),
    "publish": (
        ("a reading; returns once it is durable", "fleet-agent publish '{\"celsius\": 21.5}'"),
        (
            "to a topic, until AWS has it, in a script",
            "fleet-agent publish 'dt/{thing}/meter' 12.5 --wait --timeout 120",
        ),
        (
            "a file, dropped if it is not sent within an hour",
            "fleet-agent publish --file report.json --expires 1h",
        ),
    ),
    "key": (
        (
            "in the factory, for the list of devices that the cloud expects",
            "fleet-agent key --make",
        ),
        ("what the cloud knows this device's key by", "fleet-agent key --print-hash"),
    ),
    "parameters": (("what this device would send to the template", "fleet-agent parameters"),),
    "config": (
        ("every error at once", "fleet-agent config check"),
        ("what file, drop-ins and flags come to", "fleet-agent config show --port 443"),
        (
            "into an image mounted at /mnt, with its claim, for 5000 devices",
            "fleet-agent config install --root /mnt --config image/config.yaml --fleet-size 5000",
        ),
        (
            "for an editor that checks YAML",
            "fleet-agent config schema > config.schema.json",
        ),
    ),
    "reset": (
        ("what would go", "fleet-agent reset"),
        (
            "forget this device's identity; the next start provisions it again",
            "fleet-agent reset --yes",
        ),
        ("before an image is taken of this disk", "fleet-agent reset --for-image --yes"),
    ),
    "rotate": (
        ("is it due? 0 yes, 1 no, 2 no identity, 255 error", "fleet-agent rotate --check"),
        ("if it is due; a running agent is asked to do it", "fleet-agent rotate"),
        ("now", "fleet-agent rotate --force"),
    ),
    "move": (
        ("what would happen", "fleet-agent move --to frankfurt --dry-run"),
        ("to a destination of move.allowed", "fleet-agent move --to frankfurt"),
    ),
    "claim": (
        ("what would go", "fleet-agent claim delete --dry-run"),
        ("now, by hand and as root", "fleet-agent claim delete"),
    ),
    "import": (
        (
            "from AWS IoT Device Client, to look at",
            "fleet-agent import ~/.aws-iot-device-client/aws-iot-device-client.conf",
        ),
        (
            "from Greengrass, into a file",
            "fleet-agent import /etc/greengrass/config.yaml --out config.yaml",
        ),
    ),
}


def text(verb: str) -> str:
    """The examples of a verb as ``--help`` has them, empty when there are none."""
    shown = EXAMPLES.get(verb, ())
    lines = [f"  # {comment}\n  {command}\n" for comment, command in shown]
    return "\nexamples:\n" + "".join(lines) if lines else ""
