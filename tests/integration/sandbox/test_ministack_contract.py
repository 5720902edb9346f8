"""Every inner part of ministack the sandbox leans on, as it was when the sandbox was written.

An upgrade that renames one, changes its parameters or its meaning fails here, by name. Then look at what it is used
for in ``iot_sandbox.ground`` and ``iot_sandbox.seams``, adapt that, and only then this.

The parts are described by a child process: ministack reads its environment on import, and must not be imported
into the tests' own.
"""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

VERSION = "1.5.33"

SIGNATURES = {
    # called
    "iot._ensure_ca": "()",
    "iot.get_ca_cert_pem": "()",
    "iot._certificate_record": "(cert_id, cert_pem, status, ca_id)",
    "iot._make_connack": "(return_code, session_present, protocol_version, properties)",
    "iot._make_puback": "(packet_id, reason_code, properties)",
    "iot._make_suback": "(packet_id, granted_qos, protocol_version, properties)",
    "iot._make_publish": "(topic, payload, qos, packet_id, retain, dup, properties)",
    "iot._decode_properties": "(buf, offset)",
    "iot._encode_properties": "(props)",
    "iot._validate_publish_topic": "(topic)",
    "iot._indexing_configuration": "()",
    "iot._thing_connectivity_indexing_mode": "(config)",
    "iot._aged_properties": "(properties, received_at, now)",
    "iot._message_expires_at": "(properties, received_at)",
    "iot._InFlightMessage": "(packet_id, topic, payload, properties, retain)",
    "iot.broker_publish": (
        "async (account_id, region, topic, payload, qos, retain, properties, client_id, principal)"
    ),
    "iot._make_disconnect": "(reason_code, properties)",
    "iot.publishing_events": "()",
    "iot._subscription_matches": "(filter_, topic)",
    "iot._mtls_context": "async ()",
    "iot.mtls_is_listening": "()",
    "responses.request_scope": "(account_id, region)",
    "responses.json_response": "(data, status, content_type)",
    "x509_utils._require_crypto": "()",
    "x509_utils.certificate_is_signed_by": "(cert_pem, ca_cert_pem)",
    "x509_utils.get_certificate_id": "(cert_pem)",
    "x509_utils.sign_certificate_request": "(ca_cert_pem, ca_key_pem, csr_pem)",
    "responses.error_response_json": ("(code, message, status, extra, message_key, content_type)"),
    "responses.get_account_id": "()",
    "responses.get_region": "()",
    "iot._provisioning_plan": "(template, parameters, cert_id)",
    "iot._apply_provisioning_plan": "async (plan, cert, role_arn)",
    "iot._ProvisioningRejected": "(code, message, status)",
    "iot._iot_role_usable": "(role_arn)",
    "iot._create_thing": "(name, payload)",
    "iot._provisioning_template_body": "(t)",
    "iot._provisioning_role_allows": "(role_arn, requests)",
    "iot._mtls_resolve_identity": "(der)",
    "iot._mqtt_policy_context": "(account_id, region, certificate_id, client_id)",
    "iot._mqtt_policy_allows": (
        "(account_id, region, certificate_id, context, action, resource, provisioning_template)"
    ),
    "iam._gen_session_access_key": "()",
    "iam._gen_secret": "()",
    "iam._gen_session_token": "()",
    "iam._roles.get_scoped": "(account_id, region, key, default)",
    "sts.register_session": "(access_key, session)",
    "iam_evaluator._service_principal_matches": "(principal, service)",
    "iam_evaluator.parse_policy_document": "(doc)",
    "iam_evaluator._action_matches": "(request_action, actions, not_actions)",
    "iam_evaluator._conditions_met": "(conditions, ctx)",
    "s3._get_object_data": "(bucket_name, key, version_id)",
    # wrapped
    "iot.broker_subscribe": (
        "async (account_id, region, topic_filter, callback, granted_qos, client_id, "
        "retain_as_published, retain_handling)"
    ),
    "iot.broker_unsubscribe": "async (subscription_id)",
    "iot._reserved_filter_subscribe_allowed": "(topic_filter)",
    "iot._make_unsuback": "(packet_id, reason_codes, properties)",
    "iot._route_request": "async (method, path, headers, body, query_params)",
    "iot._job_payload_from_template": "(payload)",
    "iot._parse_fleet_provisioning_topic": "(topic)",
    "iot._fleet_provisioning_reply": (
        "async (account_id, region, operation, template_name, payload, connection)"
    ),
    "iot._run_provisioning_hook": "async (template, event)",
    "iot._update_thing": "(name, payload)",
    "iot._endpoint_address": "(endpoint_type)",
    "iot._describe_endpoint": "(qp)",
    "iot._mtls_server_cert_sans": "()",
    "iot._mtls_trust_anchors": "()",
    "iot._mtls_active_registrations": "(cert_id, status)",
    "iot._mtls_build_ssl_context": "()",
    "iot._mtls_refuse": "async (writer, cert_id, protocol_level)",
    "iam_evaluator.resolve_principal": "(access_key_id, account_id, credential)",
    "iot_data.handle_request": "async (method, path, headers, body, query_params)",
    "iot_jobs_data.handle_request": "async (method, path, headers, body, query_params)",
    "iam_actions.extract_resource_arn": (
        "(service, method, path, headers, body, query_params, region, account_id)"
    ),
    "app.detect_service": "(method, path, headers, query_params)",
    # overridden or used on the session
    "iot._WSSession._answer_fleet_provisioning": (
        "async (self, topic, operation, template_name, payload)"
    ),
    "iot._WSSession._dispatch_packet": "async (self, pkt_type, flags, body)",
    "iot._WSSession._connack_properties": "(self, assigned_client_id)",
    "iot._WSSession.send_bytes": "async (self, b)",
    "iot._WSSession.deliver_to_client": "async (self, topic, payload, qos)",
    "iot._WSSession._policy_allows": "(self, action, resource)",
    "iot._WSSession.handle_packet": "async (self, pkt_type, flags, body)",
    "iot._WSSession.cleanup": "async (self)",
    "iot._WSSession._take_packet": "(self)",
    "iot._WSSession._retransmit_due": "async (self)",
    "iot._WSSession._preserve_session": "(self)",
    "iot._WSSession._reject_malformed_packet": "async (self, pkt_type, exc)",
    "iot._WSSession._alloc_packet_id": "(self)",
    "iot._WSSession._ensure_retransmit_timer": "(self)",
    "iot._WSSession._publish_properties": "(self, properties)",
    "app.app": "async (scope, receive, send)",
}

# Who asks by global name at the time of the call, so that a wrapper is seen.
CALLERS = {
    "iot.handle_request": ["_route_request"],
    "iot._create_job": ["_job_payload_from_template"],
    "iot._handle_thing": ["_update_thing"],
    "iot._mtls_serve_conn": ["_WSSession", "_mtls_refuse"],
    "iot._WSSession._dispatch_packet": [
        "_parse_fleet_provisioning_topic",
        "broker_subscribe",
        "broker_unsubscribe",
        "_reserved_filter_subscribe_allowed",
        "_make_unsuback",
        "_retransmit_due",
        "deliver_to_client",
    ],
    "iot._WSSession.cleanup": ["broker_unsubscribe", "_preserve_session", "_cleaned_up"],
    "iot._WSSession._retransmit_loop": ["_retransmit_due"],
    "iot._WSSession._send_connack": ["_connack_properties"],
    "iot._feed_session": ["_take_packet", "handle_packet"],
    "iot.broker_publish": ["_MAX_QUEUED_MESSAGES"],
    "iot._force_disconnect_duplicate": ["send_bytes", "cleanup"],
    "iot._WSSession._publish_allowed": ["_parse_fleet_provisioning_topic"],
    "iot._fleet_register_thing": ["_run_provisioning_hook", "_provisioning_templates"],
    "iot._run_provisioning_hook": ["_PROVISIONING_HOOK_SECONDS"],
    "iot._mtls_ensure_server_cert": ["_mtls_server_cert_sans", "_mtls_cert_is_reusable"],
    "iot._mtls_cert_is_reusable": ["_mtls_server_cert_sans"],
    "iot._mtls_context": ["_mtls_build_ssl_context"],
    "iam_evaluator.enforce": ["resolve_principal"],
    "iot._mtls_refresh_trust_anchors": ["_mtls_trust_anchors"],
    "iot._mtls_resolve_identity": ["_mtls_active_registrations"],
    "x509_utils.sign_certificate_request": ["serialization", "load_pem_private_key"],
    "app._dispatch_service_request": ["detect_service", "extract_resource_arn"],
    "iot._mtls_start_locked": ["create_server", "get_running_loop", "_MtlsAcceptor"],
}

ATTRIBUTES = [
    "account_id", "region", "certificate_id", "protocol_version", "_client_id", "_send",
    "_sub_filters", "_sub_granted_qos", "_sub_ids", "_buffer", "_cleaned_up", "_forced_disconnect_reason",
    "_resume_session",
    "_graceful_disconnect", "_in_flight", "_persist_session", "_session_expiry_interval", "_will_message",
    "_will_properties", "_will_qos", "_will_retain", "_will_topic",
]  # fmt: skip

DESCRIBE = """
import inspect, json, sys
from ministack import app
from ministack.core import iam_actions, iam_evaluator, responses, x509_utils
from ministack.services import iam, iot, iot_data, iot_jobs_data, s3, sts
from importlib.metadata import version

modules = {
    "iot": iot, "s3": s3, "app": app, "responses": responses, "x509_utils": x509_utils,
    "iam": iam, "sts": sts, "iam_evaluator": iam_evaluator,
    "iot_data": iot_data, "iot_jobs_data": iot_jobs_data, "iam_actions": iam_actions,
}
wanted = json.load(sys.stdin)

def find(path):
    first, *rest = path.split(".")
    found = modules[first]
    for name in rest:
        found = getattr(found, name)
    return found

def signature(path):
    part = find(path)
    names = ", ".join(inspect.signature(part).parameters)
    return ("async " if inspect.iscoroutinefunction(part) else "") + f"({names})"

def attempt(ask, path):
    try:
        return ask(path)
    except AttributeError as error:
        return f"gone: {error}"

def names_in(path):
    code = inspect.unwrap(find(path)).__code__
    found, todo = set(), [code]
    while todo:
        code = todo.pop()
        found.update(code.co_names)
        todo += [part for part in code.co_consts if inspect.iscode(part)]
    return sorted(found)

iot.generated = iot._ensure_ca()
session = iot._WSSession(None, "123456789012", "eu-west-1", "a" * 64)
token = {}
print(json.dumps({
    "version": version("ministack"),
    "signatures": {path: attempt(signature, path) for path in wanted["signatures"]},
    "callers": {path: attempt(names_in, path) for path in wanted["callers"]},
    "attributes": sorted(vars(session)),
    "record": iot._certificate_record("a" * 64, "PEM", "PENDING_ACTIVATION"),
    "properties": [
        iot.PROP_RECEIVE_MAXIMUM, iot.PROP_MAXIMUM_PACKET_SIZE, iot.PROP_TOPIC_ALIAS, iot.PROP_TOPIC_ALIAS_MAXIMUM,
        iot.PROP_SERVER_KEEP_ALIVE, iot.PROP_SESSION_EXPIRY_INTERVAL, iot.PROP_SHARED_SUBSCRIPTION_AVAILABLE,
        iot.PROP_SUBSCRIPTION_IDENTIFIER, iot.PROP_WILL_DELAY_INTERVAL, iot.PROP_MESSAGE_EXPIRY_INTERVAL,
        iot.PROP_CONTENT_TYPE, iot.PROP_RESPONSE_TOPIC, iot.PROP_CORRELATION_DATA, iot.PROP_USER_PROPERTY,
        iot.PROP_PAYLOAD_FORMAT_INDICATOR,
    ],
    "delivered": [iot._delivery_properties.get().hex(), iot._delivery_retain.get()],
    "in_flight": sorted(iot._InFlightMessage.__slots__),
    "stored": sorted(iot._PersistentSessionState.__slots__),
    "by_client": [type(iot._persistent_sessions).__name__, type(iot._connected_clients).__name__],
    "unsuback": iot._make_unsuback(1, [17]).hex(),
    "token_seconds": iot._OWNERSHIP_TOKEN_SECONDS,
    "registries": [
        type(found).__name__ for found in (iot._certificates, iot._ca_certificates, iot._ownership_tokens)
    ],
    "every_scope": [list(key) for key in iot._certificates._data],
    "listener_state": app._iot_mtls_state,
    "topics": {topic: iot._parse_fleet_provisioning_topic(topic) for topic in wanted["topics"]},
    "services": {path: app.detect_service("GET", path, wanted["former"], {}) for path in wanted["paths"]},
    "there": [
        word for word in ["thing-registration-tasks", "/commands", "connectivity-data", "/connections"]
        if any(word in str(one.__code__.co_consts) for one in [iot._route_request, iot_data.handle_request])
    ],
    "connectivity": type(iot._connectivity).__name__,
    "websockets": type(app._IOT_DATA_WS_RE).__name__,
    "plan": sorted(iot._provisioning_plan(
        {"versions": {"1": {"templateBody": {"DeviceConfiguration": {"a": {"Ref": "P"}}}}}, "defaultVersionId": 1},
        {"P": "b"}, "")["deviceConfiguration"].items()),
    "ca": iot._ensure_ca() == iot.generated,
    "sans": iot._mtls_server_cert_sans(),
}))
"""
TOPICS = {
    "$aws/certificates/create/json": ["create", None],
    "$aws/certificates/create-from-csr/json": None,
    "$aws/provisioning-templates/t/provision/json": ["provision", "t"],
    "a/b": None,
}
# A call signed as older clients of AWS IoT do.
FORMER = {
    "host": "127.0.0.1:4566",
    "authorization": "AWS4-HMAC-SHA256 Credential=sandbox/20260101/eu-west-1/execute-api/aws4_request, Signature=0",
}
PATHS = ["/things", "/endpoint", "/provisioning-templates/t"]


@cache
def ground() -> dict[str, Any]:
    wanted = {
        "signatures": list(SIGNATURES),
        "callers": list(CALLERS),
        "topics": list(TOPICS),
        "former": FORMER,
        "paths": PATHS,
    }
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", DESCRIBE],
        input=json.dumps(wanted),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_pinned_version_is_installed() -> None:
    assert ground()["version"] == VERSION


@pytest.mark.parametrize("path", SIGNATURES)
def test_parameters_are_as_they_were(path: str) -> None:
    assert ground()["signatures"][path] == SIGNATURES[path]


@pytest.mark.parametrize("path", CALLERS)
def test_a_wrapped_part_is_still_asked_for_by_name(path: str) -> None:
    assert set(CALLERS[path]) <= set(ground()["callers"][path])


def test_a_session_still_has_what_is_read_of_it() -> None:
    assert set(ATTRIBUTES) <= set(ground()["attributes"])


def test_a_certificate_record_has_what_is_read_of_it() -> None:
    record = ground()["record"]
    assert record["status"] == "PENDING_ACTIVATION"
    assert record["attachedThings"] == record["attachedPolicies"] == []
    assert record["certificateId"] == "a" * 64


def test_the_registries_are_still_scoped_dictionaries() -> None:
    assert ground()["registries"] == ["AccountRegionScopedDict"] * 3
    assert ground()["token_seconds"] == 3600


def test_csr_over_mqtt_is_still_missing() -> None:
    # The day ministack answers it itself, ours goes.
    assert ground()["topics"] == TOPICS


def test_a_call_signed_as_execute_api_still_goes_to_api_gateway() -> None:
    # The day ministack takes it for AWS IoT's itself, ours goes.
    assert set(ground()["services"].values()) == {"apigateway"}


def test_bulk_registration_commands_and_connections_are_still_missing() -> None:
    # The day ministack answers one of them itself, ours goes.
    assert ground()["there"] == []


def test_a_template_still_resolves_its_device_configuration() -> None:
    assert ground()["plan"] == [["a", "b"]]


def test_mqtt_5_properties_are_what_the_standard_numbers_them() -> None:
    assert ground()["properties"] == [
        *(0x21, 0x27, 0x23, 0x22, 0x13, 0x11, 0x2A, 0x0B, 0x18),
        *(0x02, 0x03, 0x08, 0x09, 0x26, 0x01),
    ]


def test_what_is_on_its_way_is_still_kept_where_it_was() -> None:
    assert ground()["delivered"] == ["", False]
    assert {"packet_id", "properties", "retain", "sent_at", "retransmit_count"} <= set(
        ground()["in_flight"]
    )
    assert {"queued_messages", "in_flight"} <= set(ground()["stored"])
    assert ground()["by_client"] == ["dict", "dict"]
    assert ground()["connectivity"] == "dict"


def test_a_filter_that_was_not_subscribed_to_is_still_17() -> None:
    # The day ministack answers 0 as AWS does, our wrapper goes.
    assert ground()["unsuback"].endswith("11")


def test_websockets_are_still_told_by_their_host() -> None:
    assert ground()["websockets"] == "Pattern"


def test_the_listener_still_reports_its_state() -> None:
    assert ground()["listener_state"] == "disabled"


def test_the_ca_is_made_once() -> None:
    assert ground()["ca"] is True


def test_certificate_names_are_two_lists() -> None:
    dns, addresses = ground()["sans"]
    assert "localhost" in dns
    assert "127.0.0.1" in addresses


def test_nothing_but_ground_and_seams_reaches_inside_ministack() -> None:
    package = Path(__file__).resolve().parents[3] / "sandbox" / "iot_sandbox"
    reaching = {
        path.name
        for path in package.glob("*.py")
        if "import ministack" in (text := path.read_text()) or "from ministack" in text
    }
    assert reaching == {"ground.py"}
