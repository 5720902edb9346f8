"""AWS IoT Device Client: ``aws-iot-device-client.conf``, JSON, with ``http-proxy.conf`` beside it."""

from collections.abc import Mapping
from typing import Any

from fleet_agent.config import pkcs11_uri
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

_KNOWN = ("endpoint", "cert", "fleet-provisioning", "runtime-config", "root-ca", "thing-name")

# What ``collect-system-information`` sends under the name that it has there; its interface is the first eth….
_COLLECTED = {"DeviceMACAddress": {"first_of": [{"mac": "eth0"}, {"mac": "auto"}]}}
_COLLECTED_NOTE = (
    "collect-system-information: DeviceMACAddress is still sent. DeviceIPAddress, IoTDeviceClient-SHA256Hash and "
    "ProvisioningCertSerialNumber are not: add a {command: [PROGRAM]} for each that the template or its hook reads"
)

_RUNTIME_NOTE = (
    "the result of its fleet provisioning was not found: if it has run, put aws-iot-device-client-runtime.conf "
    "(usually in "
    "~/.aws-iot-device-client) beside this file and import again; otherwise the device gets a second certificate"
)

# Where it says which key of a hardware token is its own; it counts in place of a file.
_LABEL = "secure-element/secure-element-key-label"
_TOKEN = {
    "token": "secure-element/secure-element-token-label",
    "object": _LABEL,
    "module-path": "secure-element/pkcs11-lib",
}

_INSTEAD = {
    "cert": "a certificate without a key is not an identity: fleet-agent gets one with a claim (fleet-cloud claim new)",
    "key": "a key without a certificate is not an identity: fleet-agent makes its own key",
    "thing-name": "the provisioning template names the thing",
    "clean-session": "has no equivalent: the session outlives a reconnect",
    "logging": "logs go to the journal (journalctl -u fleet-agent), -v logs more",
    "jobs": "jobs: {enabled: true}, and for each handler script a line under handlers and jobs.operations",
    "tunneling": "not in fleet-agent: keep Device Client for it",
    "device-defender": "not in fleet-agent; telemetry.sources: [system: {interval: 5m}] "
    "sends load, memory, disk",
    "config-shadow": "not in fleet-agent; fleet-agent status --json and identity.json show what is configured",
    "sample-shadow": "no shadow",
    "sensor-publish": "programs pass their readings to the agent: telemetry.sources, fleet-agent publish",
    "samples/pub-sub/publish-topic": "telemetry.topic is for readings; fleet-agent publish sends to any topic",
    "samples/pub-sub/publish-file": "fleet-agent publish can send a file",
    "samples/pub-sub/subscribe-file": "messages that arrive are written to the log",
    "fleet-provisioning/template-parameters": "is not a JSON object: write provisioning.parameters by hand",
    "fleet-provisioning/csr-file": "a flag: fleet-agent provision --csr FILE --csr-key FILE",
    "fleet-provisioning/device-key": "a flag: fleet-agent provision --csr FILE --csr-key FILE",
    "secure-element": "provisioning.key: {store: pkcs11, module, token, label, pin_file}. The PIN is never copied: "
    "write it into a file, and add &pin-source=FILE to the pkcs11: URI of identity.private_key",
    "runtime-config": "fleet-agent gets the template's device configuration when it registers",
    "http-proxy-username": "the proxy's user is not translated: docs/reference/configuration.md, proxy",
    "http-proxy-password": "never copied: a secret belongs in a separate file",
}


def recognises(document: Mapping[str, Any]) -> bool:
    """Whether this is a configuration of Device Client."""
    return any(key in document for key in _KNOWN)


def translate(document: Mapping[str, Any]) -> Imported:
    """Returns what it comes to."""
    theirs = Document(document)
    provisions = bool(theirs.take("fleet-provisioning/enabled"))
    values = theirs.take_parameters("fleet-provisioning/template-parameters")
    theirs.take("samples/pub-sub/enabled", "samples/pub-sub/publish-on-change")
    subscribed = theirs.take_text("samples/pub-sub/subscribe-topic")
    notes = literal_notes(values)
    collected: Mapping[str, Any] = {}
    if theirs.take("fleet-provisioning/collect-system-information") in (True, "true"):
        collected, notes = _COLLECTED, (*notes, _COLLECTED_NOTE)
    ours: dict[str, Any] = {
        "endpoint": theirs.take_text("endpoint"),
        "ca_file": theirs.take_text("root-ca"),
        "proxy": _proxy(theirs, document),
    }
    if provisions:
        ours["claim"] = {
            "certificate": theirs.take_text("cert"),
            "private_key": theirs.take_text("key"),
        }
        method = "csr" if theirs.has("fleet-provisioning/csr-file") else "keys"
        notes = (*method_notes(method), *notes)
        ours["provisioning"] = {
            "template": theirs.take_text("fleet-provisioning/template-name"),
            "method": method,
            "parameters": {**collected, **values},
        }
    is_unknown = provisions and not theirs.has("runtime-config/completed-fp")
    ours["identity"] = _identity(theirs, provisions=provisions)
    if ours["identity"]:
        notes = (IDENTITY_NOTE, *notes)
    elif is_unknown:
        notes = (_RUNTIME_NOTE, *notes)
    elif not provisions:
        notes = (NO_PROVISIONING, *notes)
    ours["subscriptions"] = [{"topic": subscribed}] if subscribed else None
    return Imported(
        peer="AWS IoT Device Client",
        settings=without_nothing(ours),
        left=theirs.left(_INSTEAD),
        notes=(*notes, *unfilled_notes(ours)),
    )


def _identity(theirs: Document, *, provisions: bool) -> dict[str, str | None] | None:
    """Takes Device Client's identity: from its fleet provisioning, or as configured."""
    completed = theirs.take("runtime-config/completed-fp") in (True, "true")
    if completed and theirs.has("runtime-config/cert"):
        certificate = theirs.take_text("runtime-config/cert")
        return identity(certificate, _key(theirs, "runtime-config/key"), _thing_name(theirs))
    has_key = theirs.has("key") or theirs.has(_LABEL)
    if not provisions and theirs.has("cert") and has_key:
        return identity(theirs.take_text("cert"), _key(theirs, "key"), _thing_name(theirs))
    return None


def _key(theirs: Document, file: str) -> str | None:
    """Its file, or the place in a hardware token; the PIN is never copied."""
    if not theirs.has(_LABEL):
        return theirs.take_text(file)
    theirs.take(file, "secure-element/enabled", "secure-element/secure-element-slot-id")
    found = {name: theirs.take_text(key) for name, key in _TOKEN.items()}
    return pkcs11_uri.write({name: value for name, value in found.items() if value is not None})


def _thing_name(theirs: Document) -> str | None:
    return theirs.take_text("runtime-config/thing-name", "thing-name")


def _proxy(theirs: Document, document: Mapping[str, Any]) -> str | None:
    host, port = theirs.take_text("http-proxy-host"), theirs.take_text("http-proxy-port")
    theirs.take("http-proxy-auth-method", "http-proxy-enabled")
    is_on = document.get("http-proxy-enabled") in (True, "true")
    return f"http://{host}:{port}" if is_on and host and port else None
