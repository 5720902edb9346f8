"""Direct messages, what operators ask about connections, and ending one, over the real CLI's API."""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError

from iot_sandbox.launch import Sandbox
from support.aws import aws, aws_client
from support.fleets import make_claim
from support.peer import Open, Peer, Will
from support.properties import Property


@pytest.fixture
def data(broker: Sandbox) -> Any:
    return aws_client(broker, "iot-data")


@pytest.fixture
def client(peer: Open) -> Peer:
    """A client that is connected, and has subscribed to nothing."""
    opened: Peer = peer()
    opened.connect()
    return opened


def refusal(call: Callable[..., Any], **arguments: Any) -> tuple[int, str | None]:
    with pytest.raises(ClientError) as refused:
        call(**arguments)
    answer = refused.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Message"]


@pytest.fixture
def acknowledging(client: Peer) -> Iterator[list[Any]]:
    """What ``client`` receives, acknowledged beside the test."""
    received: list[Any] = []
    thread = threading.Thread(target=lambda: received.append(client.message()))
    thread.start()
    yield received
    thread.join()


def test_it_reaches_who_subscribed_to_nothing_with_all_it_says(
    broker: Sandbox, client: Peer, acknowledging: list[Any], tmp_path: Path
) -> None:
    payload = tmp_path / "payload"
    payload.write_bytes(b"open the door")
    answer = aws(broker, "iot-data", "send-direct-message", "--client-id", client.client_id, "--topic", "a/b",
                 "--payload", f"fileb://{payload}", "--confirmation", "--timeout", "10", "--content-type", "text/plain",
                 "--response-topic", "answers/1", "--correlation-data", base64.b64encode(b"\0\1").decode(),
                 "--user-properties", '[{"who": "me"}]', "--payload-format-indicator", "UTF8_DATA")  # fmt: skip
    assert answer["traceId"]
    message = acknowledging[0]
    assert (message.topic, message.payload, message.qos) == ("a/b", b"open the door", 1)
    assert message.properties == {
        Property.PAYLOAD_FORMAT: 1,
        Property.CONTENT_TYPE: "text/plain",
        Property.RESPONSE_TOPIC: "answers/1",
        Property.CORRELATION_DATA: b"\0\1",
        Property.USER: [("who", "me")],
    }


def test_unconfirmed_it_goes_out_at_qos_0_and_nobody_waits(data: Any, client: Peer) -> None:
    data.send_direct_message(clientId=client.client_id, topic="a/b", payload=b"x")
    assert client.message().qos == 0


def test_without_an_acknowledgement_it_times_out(data: Any, client: Peer) -> None:
    wanted = {"clientId": client.client_id, "topic": "a/b", "confirmation": True, "timeout": 1}
    status, message = refusal(data.send_direct_message, **wanted)
    assert (status, "PUBACK" in (message or "")) == (504, True)
    assert client.message(acknowledge=False).topic == "a/b"


def test_who_is_not_connected_gets_nothing(data: Any, peer: Open) -> None:
    assert refusal(data.send_direct_message, clientId="nobody", topic="a")[0] == 404
    gone: Peer = peer()
    gone.connect({Property.SESSION_EXPIRY: 60})
    gone.cut()
    while data.get_connection(clientId=gone.client_id)["connected"]:
        pass
    status, message = refusal(data.send_direct_message, clientId=gone.client_id, topic="a")
    assert (status, "persistent session" in (message or "")) == (404, True)


def test_a_receiver_that_may_not_receive_is_403_and_so_is_a_sender_that_may_not_send(
    broker: Sandbox, data: Any, tmp_path: Path
) -> None:
    iot = aws_client(broker, "iot")
    statement = {"Effect": "Allow", "Action": ["iot:Connect", "iot:Publish"], "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iot.create_policy(policyName="deaf", policyDocument=document)
    with Peer(broker, make_claim(broker, tmp_path, "deaf"), "deaf") as deaf:
        deaf.connect()
        status, message = refusal(data.send_direct_message, clientId="deaf", topic="a")
        assert (status, "deaf" in (message or "")) == (403, True)
        user = operator(broker, "iot:SendDirectMessage", "client/other")
        refused = refusal(user.send_direct_message, clientId="deaf", topic="a")
        assert refused == (403, None)
        user = operator(broker, "iot:GetConnection", "client/deaf")
        assert user.get_connection(clientId="deaf")["connected"] is True


def operator(broker: Sandbox, action: str, resource: str) -> Any:
    """A user who may do one thing with one resource; a client of the data plane."""
    iam, name = aws_client(broker, "iam"), action.partition(":")[2]
    iam.create_user(UserName=name)
    account = aws_client(broker, "sts").get_caller_identity()["Account"]
    arn = f"arn:aws:iot:{broker.region}:{account}:{resource}"
    statement = {"Effect": "Allow", "Action": action, "Resource": arn}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName=name, PolicyName="one", PolicyDocument=document)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return botocore.session.get_session().create_client(
        "iot-data",
        region_name=broker.region,
        endpoint_url=broker.http_url,
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
    )


@pytest.mark.parametrize("wrong", [
    {"topic": "$aws/things/x/jobs/notify"}, {"topic": "a/+"}, {"topic": "a/b/c/d/e/f/g/h/i"},
    {"topic": "a", "timeout": 16}, {"topic": "a", "userProperties": "eyJh"},
])  # fmt: skip
def test_what_is_not_within_the_rules_is_400(
    data: Any, client: Peer, wrong: dict[str, Any]
) -> None:
    assert refusal(data.send_direct_message, clientId=client.client_id, **wrong)[0] == 400


def test_a_client_that_takes_no_more_is_429(data: Any, peer: Open) -> None:
    narrow: Peer = peer()
    narrow.connect({Property.RECEIVE_MAXIMUM: 1})
    wanted = {"clientId": narrow.client_id, "topic": "a", "confirmation": True, "timeout": 1}
    assert refusal(data.send_direct_message, **wanted)[0] == 504
    assert refusal(data.send_direct_message, **wanted)[0] == 429


def test_a_connection_and_what_became_of_it(broker: Sandbox, data: Any, peer: Open) -> None:
    iot = aws_client(broker, "iot")
    iot.create_thing(thingName="seen")
    seen: Peer = peer("seen")
    seen.connect({Property.SESSION_EXPIRY: 600}, keep_alive=40)
    seen.subscribe("a/+", "b")
    reported = aws(broker, "iot-data", "get-connection", "--client-id", "seen")
    since = reported.pop("connectedSince")
    assert reported == {
        "connected": True,
        "clientId": "seen",
        "thingName": "seen",
        "cleanSession": True,
        "keepAliveDuration": 40,
        "sessionExpiry": 600,
    }
    listed = aws(broker, "iot-data", "list-subscriptions", "--client-id", "seen")
    wanted = [{"topicFilter": "a/+", "qos": 1}, {"topicFilter": "b", "qos": 1}]
    assert listed["subscriptions"] == wanted
    seen.disconnect()
    reported = data.get_connection(clientId="seen")
    assert reported["connected"] is False
    assert reported["disconnectReason"] == "CLIENT_INITIATED_DISCONNECT"
    assert reported["disconnectedSince"] >= since
    assert data.list_subscriptions(clientId="seen")["subscriptions"] == wanted
    assert refusal(data.get_connection, clientId="never")[0] == 404


def test_a_thing_s_connectivity_needs_the_index(broker: Sandbox, peer: Open) -> None:
    iot = aws_client(broker, "iot")
    iot.create_thing(thingName="indexed")
    ask = iot.get_thing_connectivity_data
    assert refusal(ask, thingName="indexed")[0] == 400
    modes = {"thingIndexingMode": "REGISTRY", "thingConnectivityIndexingMode": "STATUS"}
    iot.update_indexing_configuration(thingIndexingConfiguration=modes)
    reported = ask(thingName="indexed")
    assert (reported["connected"], "timestamp" in reported) == (False, False)
    peer("indexed").connect()
    reported = ask(thingName="indexed")
    assert (reported["connected"], reported["clientId"], "timestamp" in reported) == (
        True,
        "indexed",
        True,
    )
    assert refusal(ask, thingName="no-such")[0] == 404


def test_a_connection_is_ended_with_its_will_or_without(data: Any, peer: Open) -> None:
    listener, spoken, silent = peer(), peer(), peer()
    listener.connect()
    listener.subscribe("wills/+")
    for each, will, prevented in ((spoken, "spoken", False), (silent, "silent", True)):
        each.connect({Property.SESSION_EXPIRY: 60}, will=Will(f"wills/{will}"))
        data.delete_connection(clientId=each.client_id, preventWillMessage=prevented)
        assert each.end() == 152
        reported = data.get_connection(clientId=each.client_id)
        assert reported["disconnectReason"] == "API_INITIATED_DISCONNECT"
    assert listener.message().topic == "wills/spoken"
    assert listener.arrived() == []
    data.delete_connection(clientId=silent.client_id, cleanSession=True)
    assert refusal(data.list_subscriptions, clientId=silent.client_id)[0] == 404
