"""Greengrass with fleet provisioning, the Java nucleus's plugin or nucleus lite: YAML, one shape, two spellings."""

from collections.abc import Mapping
from typing import Any

from fleet_agent.config.peers.document import (
    IDENTITY_NOTE,
    NO_PROVISIONING,
    Document,
    Imported,
    identity,
    literal_notes,
    method_notes,
    unfilled_notes,
    without_nothing,
)

_PLUGIN = "aws.greengrass.FleetProvisioningByClaim"
_LITE = "aws.greengrass.fleet_provisioning"
_NAMES = {_PLUGIN: "Greengrass (fleet provisioning plugin)", _LITE: "Greengrass nucleus lite"}
_NUCLEI = {
    "aws.greengrass.Nucleus": "Greengrass nucleus",
    "aws.greengrass.NucleusLite": "Greengrass nucleus lite",
}

_OWN = {
    "deviceId": "the template names the thing; the agent chooses the claim's client id itself",
    "awsRegion": "the endpoint contains it",
    "iotCredentialEndpoint": "Greengrass's token exchange has no equivalent",
    "iotCredEndpoint": "Greengrass's token exchange has no equivalent",
    "iotRoleAlias": "Greengrass's token exchange has no equivalent",
    "rootPath": "state_dir, /var/lib/fleet-agent by default; do not share Greengrass's own folder",
    "certificatePath": "the certificate is in state_dir, credentials/current",
    "certPath": "the certificate is in state_dir, credentials/current",
    "privateKeyPath": "the key is in state_dir, credentials/current",
    "keyPath": "the key is in state_dir, credentials/current",
    "csrPath": "a flag: fleet-agent provision --csr FILE --csr-key FILE",
    "csrPrivateKeyPath": "a flag: fleet-agent provision --csr FILE --csr-key FILE",
    "csrCommonName": "AWS ignores the subject of a CSR",
    "proxyUsername": "the proxy's user is not translated: docs/reference/configuration.md, proxy",
    "proxyUserName": "the proxy's user is not translated: docs/reference/configuration.md, proxy",
    "proxyUrl": "its user and password are never copied: a secret belongs in a separate file",
    "proxyPassword": "never copied: a secret belongs in a separate file",
}


def recognises(document: Mapping[str, Any]) -> bool:
    """Whether this is a configuration of Greengrass."""
    return isinstance(document.get("services"), Mapping)


def translate(document: Mapping[str, Any]) -> Imported:
    """Translates it; without fleet provisioning little of it applies, and the rest is reported."""
    services = document["services"]
    plugin = next((name for name in (_LITE, _PLUGIN) if name in services), "")
    peer = next(
        (name for service, name in (_NAMES | _NUCLEI).items() if service in services), "Greengrass"
    )
    theirs = Document(document)
    at = f"services/{plugin}/configuration"
    values = theirs.take_parameters(f"{at}/templateParameters", f"{at}/templateParams")
    method = "csr" if plugin == _LITE or theirs.has(f"{at}/csrPath") else "keys"
    nuclei = [f"services/{name}/configuration" for name in _NUCLEI]
    port = theirs.take_text(f"{at}/mqttPort", *(f"{nucleus}/mqtt/port" for nucleus in nuclei))
    ours: dict[str, Any] = {
        "endpoint": theirs.take_text(
            f"{at}/iotDataEndpoint", *(f"{nucleus}/iotDataEndpoint" for nucleus in nuclei)
        ),
        "port": int(port) if port and port.isdecimal() else port,
        "ca_file": theirs.take_text(f"{at}/rootCaPath", "system/rootCaPath"),
        "proxy": theirs.take_proxy(
            f"{at}/proxyUrl", *(f"{nucleus}/networkProxy/proxy/url" for nucleus in nuclei)
        ),
        "claim": {
            "certificate": theirs.take_text(f"{at}/claimCertificatePath", f"{at}/claimCertPath"),
            "private_key": _claim_key(theirs, at),
        },
    }
    ours["identity"] = _identity(theirs)
    template = theirs.take_text(f"{at}/provisioningTemplate", f"{at}/templateName")
    notes = literal_notes(values)
    if template:
        ours["provisioning"] = {
            "template": template,
            "method": method,
            "parameters": values,
        }
        notes = (*method_notes(method), *notes)
    elif not ours["identity"]:
        notes = (NO_PROVISIONING, *notes)
    if ours["identity"]:
        notes = (IDENTITY_NOTE, *notes)
    return Imported(
        peer=peer,
        settings=without_nothing(ours),
        left=theirs.left(_reasons(at, services)),
        notes=(*notes, *unfilled_notes(ours)),
    )


def _identity(theirs: Document) -> dict[str, str | None] | None:
    """Takes Greengrass's identity; a handle in a TPM is of no use to others."""
    names = ["system/certificateFilePath", "system/privateKeyPath"]
    if not all(theirs.has(name) for name in names):
        return None
    certificate, key = map(theirs.take_text, names)
    if key is not None and key.startswith("handle:"):
        theirs.put_back(names[1], key)
        key = None
    return identity(certificate, key, theirs.take_text("system/thingName"))


def _claim_key(theirs: Document, at: str) -> str | None:
    """The claim's key, unless it is a handle in a TPM, which is reported."""
    keys = (f"{at}/claimCertificatePrivateKeyPath", f"{at}/claimKeyPath")
    found = theirs.take_text(*keys)
    if found and found.startswith("handle:"):
        theirs.put_back(keys[-1], found)
        return None
    return found


def _reasons(at: str, services: Mapping[str, Any]) -> dict[str, str]:
    runs = "fleet-agent runs no components: run what a component does as a separate service"
    reasons = {f"services/{name}": runs for name in services}
    reasons |= {f"{at}/{key}": instead for key, instead in _OWN.items()}
    reasons[at] = "has no equivalent"
    reasons[f"{at}/claimKeyPath"] = "use PKCS#11 for a key in a TPM: claim.private_key: pkcs11:…"
    reasons["system"] = (
        "Greengrass keeps its own folders; use PKCS#11 for a key in a TPM: "
        "identity.private_key: pkcs11:…"
    )
    return reasons
