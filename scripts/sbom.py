"""The software bill of materials of a release, as CycloneDX 1.5: what the lock pins, and what is compiled into it.

``python scripts/sbom.py VERSION`` prints it. The same checkout and version, the same bits.
"""

import json
import re
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent

# Compiled into the library of awscrt; its wheel does not say of which commits.
IN_AWSCRT = {
    "aws-c-auth": "Apache-2.0",
    "aws-c-cal": "Apache-2.0",
    "aws-c-common": "Apache-2.0",
    "aws-c-compression": "Apache-2.0",
    "aws-c-event-stream": "Apache-2.0",
    "aws-c-http": "Apache-2.0",
    "aws-c-io": "Apache-2.0",
    "aws-c-mqtt": "Apache-2.0",
    "aws-c-s3": "Apache-2.0",
    "aws-c-sdkutils": "Apache-2.0",
    "aws-checksums": "Apache-2.0",
    "aws-lc": "Apache-2.0 OR ISC",
    "cJSON": "MIT",
    "libcbor": "MIT",
    "s2n-tls": "Apache-2.0",
}
# The package has these inside; the others come from the device's Debian, or from the wheel's requirements.
VENDORED = ("awscrt", "awsiotsdk")


def locked() -> Iterator[tuple[str, str, list[str]]]:
    """Name, version and hashes of each package that a device has, by the lock."""
    text = (ROOT / "requirements" / "device.txt").read_text().replace("\\\n", " ")
    for line in text.splitlines():
        if found := re.match(r"([\w.-]+)==(\S+)", line):
            yield found[1], found[2], re.findall(r"--hash=sha256:([0-9a-f]{64})", line)


def component(name: str, version: str, hashes: list[str]) -> dict[str, Any]:
    """A package of PyPI; a hash for each file that may be taken."""
    purl = f"pkg:pypi/{name.lower()}@{version}"
    made: dict[str, Any] = {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
        "hashes": [{"alg": "SHA-256", "content": digest} for digest in hashes],
        "properties": [
            {"name": "fleet-agent:in-the-debian-package", "value": str(name in VENDORED).lower()}
        ],
    }
    if name == "awscrt":
        made["components"] = [
            {
                "type": "library",
                "bom-ref": f"{purl}#{inner}",
                "name": inner,
                "licenses": [{"expression": license_of}],
            }
            for inner, license_of in IN_AWSCRT.items()
        ]
    return made


def document(version: str) -> dict[str, Any]:
    """The whole of it."""
    agent = f"pkg:generic/fleet-agent@{version}"
    components = [component(*found) for found in locked()]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, agent)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": agent,
                "name": "fleet-agent",
                "version": version,
                "purl": agent,
                "licenses": [{"expression": "Apache-2.0"}],
            }
        },
        "components": components,
        "dependencies": [
            {"ref": agent, "dependsOn": [found["bom-ref"] for found in components]},
        ],
    }


if __name__ == "__main__":
    print(json.dumps(document(sys.argv[1]), indent=2))
