# ruff: noqa: SLF001  (the one place that reaches inside ministack)
"""Every inner part of ministack the sandbox depends on, under our own name.

Nothing else in this package touches a private name of ministack, and
``tests/integration/sandbox/test_ministack_contract.py`` pins each of them: an upgrade that moves the ground fails
there, with the name. Import this only after ``environment.prepare``.
"""

import functools
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

from ministack import app as ministack_app
from ministack.core import iam_actions, iam_evaluator, x509_utils
from ministack.core.responses import (
    error_response_json,
    get_account_id,
    get_region,
    json_response,
    request_scope,
)
from ministack.core.x509_utils import (
    certificate_is_signed_by as is_signed_by,
)
from ministack.core.x509_utils import (
    get_certificate_id,
    sign_certificate_request,
)
from ministack.services import iam, iot, iot_data, iot_jobs_data, s3, sts

__all__ = [
    "CONTENT_TYPE",
    "CORRELATION_DATA",
    "MAXIMUM_PACKET_SIZE",
    "MESSAGE_EXPIRY_INTERVAL",
    "OWNERSHIP_TOKEN_SECONDS",
    "PAYLOAD_FORMAT_INDICATOR",
    "RECEIVE_MAXIMUM",
    "RESPONSE_TOPIC",
    "SERVER_KEEP_ALIVE",
    "SESSION_EXPIRY_INTERVAL",
    "SHARED_SUBSCRIPTION_AVAILABLE",
    "SUBSCRIPTION_IDENTIFIER",
    "TOPIC_ALIAS",
    "TOPIC_ALIAS_MAXIMUM",
    "USER_PROPERTY",
    "WILL_DELAY_INTERVAL",
    "BaseSession",
    "InFlight",
    "Key",
    "Record",
    "RegistrationRejected",
    "aged_properties",
    "apply_plan",
    "ca_pem",
    "certificate_record",
    "certificates",
    "connack",
    "connected_sessions",
    "connectivity",
    "create_thing",
    "delivered_properties",
    "delivered_retain",
    "disconnect",
    "encoded_properties",
    "ensure_ca",
    "error_response_json",
    "every_scope",
    "expires_at",
    "get_account_id",
    "get_certificate_id",
    "get_region",
    "hook_seconds",
    "is_connectivity_indexed",
    "is_listening",
    "is_match",
    "is_role_usable",
    "is_signed_by",
    "is_topic",
    "json_response",
    "keep_queued",
    "keep_signing_keys",
    "listener_failed",
    "ministack_app",
    "new_access_key",
    "new_secret",
    "new_token",
    "object_content",
    "owner_of",
    "ownership_tokens",
    "plan_of",
    "policy_allows",
    "policy_context",
    "properties",
    "provisioning_reply",
    "puback",
    "publish",
    "publish_packet",
    "publishing_events",
    "register_session",
    "registered_cas",
    "request_scope",
    "role",
    "role_allows",
    "server_context",
    "session_of",
    "sign_certificate_request",
    "stored_sessions",
    "suback",
    "take_websockets",
    "template_of",
    "things",
    "trusts",
    "unsubscribe",
    "wrap",
]

# The parts of ministack that may be wrapped.
_WRAPPED = {
    "app": ministack_app,
    "iam_actions": iam_actions,
    "iam_evaluator": iam_evaluator,
    "iot": iot,
    "iot_data": iot_data,
    "iot_jobs_data": iot_jobs_data,
}

Key = tuple[str, str, str]  # account id, region, the record's own
Record = dict[str, Any]

# The registry: dictionaries that are cleared, never replaced.
certificates: Any = iot._certificates
registered_cas: Any = iot._ca_certificates
things: Any = iot._things
ownership_tokens: Any = iot._ownership_tokens
OWNERSHIP_TOKEN_SECONDS: int = iot._OWNERSHIP_TOKEN_SECONDS

# The CA behind device certificates and the listener's own.
ensure_ca: Callable[[], tuple[str, str]] = iot._ensure_ca
ca_pem: Callable[[], str] = iot.get_ca_cert_pem
# (account id, region, template of a temporary claim or None) of a certificate in DER; None: not ACTIVE, or unknown.
owner_of: Callable[[bytes | None], tuple[str, str, str | None] | None] = iot._mtls_resolve_identity
# Of (account id, region, certificate id, thing); and whether the certificate's policies allow an action.
policy_context: Callable[[str, str, str, str], dict[str, str]] = iot._mqtt_policy_context
policy_allows: Callable[..., bool] = iot._mqtt_policy_allows
certificate_record: Callable[[str, str, str], dict[str, Any]] = iot._certificate_record

# What a template makes of one device: worked out, then applied or refused.
plan_of: Callable[[dict[str, Any], dict[str, str], str], dict[str, Any]] = iot._provisioning_plan
apply_plan: Callable[[dict[str, Any], dict[str, Any], str], Awaitable[str | None]] = (
    iot._apply_provisioning_plan
)
RegistrationRejected: type[Exception] = iot._ProvisioningRejected
create_thing: Callable[[str, dict[str, Any]], object] = iot._create_thing
is_role_usable: Callable[[str], bool] = iot._iot_role_usable
role_allows: Callable[[str, list[tuple[str, str]]], bool] = iot._provisioning_role_allows
new_access_key: Callable[[], str] = iam._gen_session_access_key
new_secret: Callable[[], str] = iam._gen_secret
new_token: Callable[[], str] = iam._gen_session_token
register_session: Callable[[str, dict[str, Any]], None] = sts.register_session
object_content: Callable[[str, str], bytes | None] = s3._get_object_data  # bucket, key

# The MQTT session and its packets.
BaseSession: Any = iot._WSSession
InFlight: Any = iot._InFlightMessage  # (identifier, topic, payload, properties, retain)
publish_packet: Callable[..., bytes] = iot._make_publish
connack: Callable[..., bytes] = iot._make_connack
puback: Callable[..., bytes] = iot._make_puback
suback: Callable[..., bytes] = iot._make_suback
disconnect: Callable[..., bytes] = iot._make_disconnect
RECEIVE_MAXIMUM: int = iot.PROP_RECEIVE_MAXIMUM
MAXIMUM_PACKET_SIZE: int = iot.PROP_MAXIMUM_PACKET_SIZE
TOPIC_ALIAS: int = iot.PROP_TOPIC_ALIAS
TOPIC_ALIAS_MAXIMUM: int = iot.PROP_TOPIC_ALIAS_MAXIMUM
SERVER_KEEP_ALIVE: int = iot.PROP_SERVER_KEEP_ALIVE
SESSION_EXPIRY_INTERVAL: int = iot.PROP_SESSION_EXPIRY_INTERVAL
SHARED_SUBSCRIPTION_AVAILABLE: int = iot.PROP_SHARED_SUBSCRIPTION_AVAILABLE
SUBSCRIPTION_IDENTIFIER: int = iot.PROP_SUBSCRIPTION_IDENTIFIER
WILL_DELAY_INTERVAL: int = iot.PROP_WILL_DELAY_INTERVAL
MESSAGE_EXPIRY_INTERVAL: int = iot.PROP_MESSAGE_EXPIRY_INTERVAL
CONTENT_TYPE: int = iot.PROP_CONTENT_TYPE
RESPONSE_TOPIC: int = iot.PROP_RESPONSE_TOPIC
CORRELATION_DATA: int = iot.PROP_CORRELATION_DATA
USER_PROPERTY: int = iot.PROP_USER_PROPERTY
PAYLOAD_FORMAT_INDICATOR: int = iot.PROP_PAYLOAD_FORMAT_INDICATOR
encoded_properties: Callable[[list[tuple[int, object]]], bytes] = iot._encode_properties
# The properties and the RETAIN flag of the message that is being delivered; what becomes of the former with time.
delivered_properties: Callable[[], bytes] = iot._delivery_properties.get
delivered_retain: Callable[[], bool] = iot._delivery_retain.get
expires_at: Callable[[bytes, float], float | None] = iot._message_expires_at
aged_properties: Callable[[bytes, float, float], bytes | None] = iot._aged_properties
# All by (account id, region, client id); the last one when and why a client came or went.
stored_sessions: Any = iot._persistent_sessions
connected_sessions: Any = iot._connected_clients
connectivity: Any = iot._connectivity
publishing_events: Callable[[], Any] = iot.publishing_events
is_topic: Callable[[str], bool] = iot._validate_publish_topic
is_match: Callable[[str, str], bool] = iot._subscription_matches  # topic filter, topic
server_context: Callable[[], Any] = iot._mtls_context
is_listening: Callable[[], bool] = iot.mtls_is_listening


def hook_seconds(seconds: float) -> None:
    """Waits so long for a pre-provisioning hook.

    Raises:
        AttributeError: ministack no longer has such a limit.
    """
    if not hasattr(iot, "_PROVISIONING_HOOK_SECONDS"):
        raise AttributeError("ministack has no _PROVISIONING_HOOK_SECONDS any more")
    iot._PROVISIONING_HOOK_SECONDS = seconds


def template_of(name: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Returns a provisioning template and its body, in the scope at hand; None for none."""
    template = iot._provisioning_templates.get(name)
    if template is None:
        return None
    body = iot._provisioning_template_body(template)
    return template, json.loads(body) if isinstance(body, str) else body


def every_scope(records: Any) -> dict[Key, Record]:  # noqa: ANN401  ministack has no types
    """Returns what lies under a registry."""
    found: dict[Key, Record] = records._data
    return found


def properties(body: bytes, start: int) -> tuple[dict[int, Any], int]:
    """Reads the MQTT 5 properties that begin there, and returns where they end.

    Raises:
        ValueError: they are cut short.
    """
    if body[start : start + 1] == b"\0":
        return {}, start + 1
    found, end = iot._decode_properties(body, start)
    return dict(found), end


def role(arn: str, account: str) -> dict[str, Any] | None:
    """Returns an account's role; None when there is none, or the name is another account's."""
    parts = arn.split(":", 5)
    if len(parts) < 6 or parts[4] != account or not parts[5].startswith("role/"):  # noqa: PLR2004  an ARN's parts
        return None
    found: dict[str, Any] | None = iam._roles.get_scoped(account, None, arn.rpartition("/")[2])
    return found


def trusts(role: dict[str, Any], service: str, account: str) -> bool:
    """Whether a role lets an AWS service assume it. The request has no condition keys: AWS documents none."""
    document = json.loads(role.get("AssumeRolePolicyDocument") or "{}")
    statements = document.get("Statement", [])
    context = iam_evaluator.EvalContext(
        principal_arn=service,
        principal_type="Service",
        principal_account=account,
        action="sts:AssumeRole",
        resource_arn="*",
        region="",
    )
    effects = {
        parsed.effect
        for given in ([statements] if isinstance(statements, dict) else statements)
        if iam_evaluator._service_principal_matches(given.get("Principal"), service)
        for parsed in iam_evaluator.parse_policy_document({"Statement": [given]})
        if iam_evaluator._action_matches(context.action, parsed.actions, parsed.not_actions)
        and iam_evaluator._conditions_met(parsed.conditions, context)
    }
    return effects == {"Allow"}


def session_of(access_key: str) -> dict[str, Any]:
    """Returns what was registered for the key of a role's session; empty for any other key."""
    return dict(sts._sessions.get(access_key) or {})


def unsubscribe(subscription: str) -> Awaitable[None]:
    """Removes a subscription, as ministack is wrapped now."""
    taking: Awaitable[None] = iot.broker_unsubscribe(subscription)
    return taking


def publish(*arguments: object, **options: object) -> Awaitable[None]:
    """Publishes as the broker: (account id, region, topic, payload), and ``qos``, ``retain``, ``properties``."""
    publishing: Awaitable[None] = iot.broker_publish(*arguments, **options)
    return publishing


def keep_queued(messages: int) -> None:
    """Keeps so many messages for a session whose client is away."""
    if not isinstance(iot._MAX_QUEUED_MESSAGES, int):
        raise TypeError("ministack's _MAX_QUEUED_MESSAGES is no number any more")
    iot._MAX_QUEUED_MESSAGES = messages


def keep_signing_keys() -> None:
    """Parses a CA's key once: ministack does for each certificate, and an RSA key's checks take 40 ms.

    Raises:
        AttributeError: ministack parses it elsewhere.
    """
    x509_utils._require_crypto()
    x509_utils.serialization = _KeptKeys(x509_utils.serialization)


class _KeptKeys:
    """A module of keys, whose reader keeps the last few that it read."""

    def __init__(self, module: Any) -> None:  # noqa: ANN401  of ministack's choice
        self._module = module
        self.load_pem_private_key = functools.lru_cache(maxsize=8)(module.load_pem_private_key)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._module, name)


def provisioning_reply(*arguments: object) -> Awaitable[tuple[str, dict[str, Any]]]:
    """Calls ministack's provisioning as it is wrapped now: (account, region, operation, template, payload, who)."""
    replying: Awaitable[tuple[str, dict[str, Any]]] = iot._fleet_provisioning_reply(*arguments)
    return replying


def is_connectivity_indexed() -> bool:
    """Whether fleet indexing keeps the connectivity of things."""
    mode: str = iot._thing_connectivity_indexing_mode(iot._indexing_configuration())
    return mode == "STATUS"


def listener_failed() -> bool:
    """Whether ministack gave up on its MQTT listener."""
    return bool(ministack_app._iot_mtls_state == "degraded")


def wrap(path: str, wrapper: Callable[[Any], Any]) -> None:
    """Puts ``wrapper(what it was)`` in the place of a function or class of ministack's: ``iot._update_thing``.

    Raises:
        AttributeError: ministack no longer has such a name.
    """
    module, _, name = path.partition(".")
    setattr(_WRAPPED[module], name, wrapper(getattr(_WRAPPED[module], name)))


def take_websockets() -> None:
    """Takes MQTT over WebSocket under whatever name the HTTP port is reached; ministack wants the data endpoint's.

    Raises:
        TypeError: ministack words it differently now.
    """
    if not isinstance(ministack_app._IOT_DATA_WS_RE, re.Pattern):
        raise TypeError("ministack's _IOT_DATA_WS_RE is no pattern any more")
    ministack_app._IOT_DATA_WS_RE = re.compile("")
