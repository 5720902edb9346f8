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
        ("get an identity and print the thing name", "fleet-agent provision"),
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
            "with flags only, named as in AWS's sample",
            _BY_FLAGS,
        ),
        (
            "with a key that was made elsewhere",
            "fleet-agent provision --csr device.csr --csr-key device.key",
        ),
        (
            "again; the current identity stays until the new one is proven",
            "fleet-agent provision --force",
        ),
        ("in a script", "fleet-agent provision --json --timeout 300"),
    ),
    "adopt": (
        (
            "a certificate from the factory or another agent, for the thing pump-7",
            "fleet-agent adopt --cert device.pem.crt --key device.pem.key --thing-name pump-7",
        ),
        ("as the section identity of the configuration says", "fleet-agent adopt"),
    ),
    "status": (
        ("for a person", "fleet-agent status"),
        ("in a script, until it is connected", "fleet-agent status --wait 60"),
        ("only the thing name", "fleet-agent status --json | jq -r .thing_name"),
    ),
    "doctor": (
        ("everything that can be checked offline", "fleet-agent doctor"),
        (
            "also whether AWS IoT lets the claim and the device do what they need",
            "fleet-agent doctor --online --account 123456789012",
        ),
        ("correct owners and modes", "fleet-agent doctor --fix"),
        ("an image mounted at /mnt, before it is copied", "fleet-agent doctor --image /mnt"),
        ("for a support case", "fleet-agent doctor --online --bundle support.tar.gz"),
    ),
    "credentials": (
        (
            "as `credential_process` in ~/.aws/config of an allowed user",
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
            "to a given topic, waiting until AWS has it",
            "fleet-agent publish 'dt/{thing}/meter' 12.5 --wait --timeout 120",
        ),
        (
            "a file, dropped if it is not sent within an hour",
            "fleet-agent publish --file report.json --expires 1h",
        ),
    ),
    "key": (
        (
            "in the factory, for the list of expected devices",
            "fleet-agent key --make",
        ),
        (
            "the hash that identifies this device's key in the cloud",
            "fleet-agent key --print-hash",
        ),
    ),
    "parameters": (("what this device would send", "fleet-agent parameters"),),
    "config": (
        ("report all errors at once", "fleet-agent config check"),
        ("the result of file, drop-ins and flags", "fleet-agent config show --port 443"),
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
        ("show what would be removed", "fleet-agent reset"),
        (
            "remove this device's identity; the next start provisions it again",
            "fleet-agent reset --yes",
        ),
        ("before an image is taken of this disk", "fleet-agent reset --for-image --yes"),
    ),
    "rotate": (
        ("is it due? 0 yes, 1 no, 2 no identity, 255 error", "fleet-agent rotate --check"),
        ("rotate if due; a running agent does the work", "fleet-agent rotate"),
        ("now", "fleet-agent rotate --force"),
    ),
    "move": (
        ("what would happen", "fleet-agent move --to frankfurt --dry-run"),
        ("to a destination of move.allowed", "fleet-agent move --to frankfurt"),
    ),
    "claim": (
        ("show what would be removed", "fleet-agent claim delete --dry-run"),
        ("delete it now, as root", "fleet-agent claim delete"),
    ),
    "import": (
        (
            "from AWS IoT Device Client, to stdout",
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
