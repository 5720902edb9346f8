"""Turns ministack's answers to provisioning requests into those that the switches say. Decides only."""

from typing import Any

from iot_sandbox.switches import Switches

Document = dict[str, Any]
Reply = tuple[str, Document]

# Which switch a rejection falls under: ministack's code, and what its text holds.
_SITUATIONS = (
    ("InvalidPayload", "", "payload-invalid"),
    ("InvalidCertificateSigningRequest", "", "csr-invalid"),
    ("InvalidCertificateOwnershipToken", "cannot be empty", "token-empty"),
    ("InvalidCertificateOwnershipToken", "", "token-unknown"),
    ("InvalidTemplate", "does not exist", "template-missing"),
    ("InvalidTemplate", "is not enabled", "template-disabled"),
    ("InvalidParameters", "", "parameter-missing"),
    ("AccessDenied", "", "hook-denies"),
    ("InvocationError", "was not executed successfully", "hook-raises"),
    ("InvocationError", "failure occurred while invoking", "hook-slow"),
    ("InvalidResult", "", "hook-invalid"),
    ("ProvisioningFailed", "Invalid thingName", "thing-name-invalid"),
    ("ProvisioningFailed", "Policy default version not found", "policy-missing"),
    ("ProvisioningFailed", "conflicts with AttributePayload", "override-fail"),
)


def situation(document: Document) -> str | None:
    """Returns the switch that a rejection falls under; None for none."""
    code, said = str(document.get("errorCode")), str(document.get("errorMessage"))
    for its_code, part, name in _SITUATIONS:
        if code == its_code and part in said:
            return name
    return None


def turned(switches: Switches, reply: Reply, *, template_fails: bool) -> Reply:
    """Returns the answer that the switches ask for.

    Args:
        switches: the sandbox's.
        reply: ministack's.
        template_fails: whether the template says FAIL of attributes, rather than nothing.
    """
    suffix, document = reply
    if suffix == "accepted":
        return suffix, _configured(switches, document)
    name = situation(document)
    if name == "override-fail" and not template_fails:
        name = "override-none"
    refusal = switches.refusal(name) if name and switches.is_turned(name) else None
    return (suffix, refused(document, *refusal)) if refusal else reply


def refused(document: Document, status: int, code: str | None) -> Document:
    """Returns a rejection with another status and code; its text stays."""
    changed = {**document, "statusCode": status, "errorCode": code}
    return {name: value for name, value in changed.items() if value is not None}


def _configured(switches: Switches, document: Document) -> Document:
    at = switches["device-configuration"]
    if at == "{}" or document.get("deviceConfiguration", at) != {}:
        return document
    if at == "null":
        return {**document, "deviceConfiguration": None}
    return {name: value for name, value in document.items() if name != "deviceConfiguration"}
