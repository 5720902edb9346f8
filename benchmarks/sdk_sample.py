"""The peer: AWS's sample flow (claim, CreateKeysAndCertificate, RegisterThing) as its fleet_provisioning_basic does it.

Nothing is stored and nothing proven, as in the sample. Arguments: endpoint port ca cert key template serial.
"""

import sys
from concurrent.futures import Future
from typing import Any
from uuid import uuid4

from awscrt import mqtt5, mqtt_request_response
from awsiot import iotidentity, mqtt5_client_builder

TIMEOUT = 30


def main(words: list[str]) -> None:
    """Run the flow and print the thing's name."""
    endpoint, port, ca_file, certificate, key, template, serial = words
    connected: Future[Any] = Future()
    stopped: Future[Any] = Future()
    client = mqtt5_client_builder.mtls_from_path(
        endpoint=endpoint,
        port=int(port),
        cert_filepath=certificate,
        pri_key_filepath=key,
        ca_filepath=ca_file,
        client_id=f"claim-{uuid4()}",
        clean_session=False,
        keep_alive_secs=30,
        on_lifecycle_connection_success=connected.set_result,
        on_lifecycle_stopped=stopped.set_result,
    )
    client.start()
    connected.result(TIMEOUT)
    options = mqtt_request_response.ClientOptions(
        max_request_response_subscriptions=2,
        max_streaming_subscriptions=0,
        operation_timeout_in_seconds=TIMEOUT,
    )
    identity = iotidentity.IotIdentityClientV2(client, options)
    created = identity.create_keys_and_certificate(
        iotidentity.CreateKeysAndCertificateRequest()
    ).result(TIMEOUT)
    registered = identity.register_thing(
        iotidentity.RegisterThingRequest(
            template_name=template,
            certificate_ownership_token=created.certificate_ownership_token,
            parameters={"SerialNumber": serial},
        )
    ).result(TIMEOUT)
    print(registered.thing_name)
    client.stop(mqtt5.DisconnectPacket())
    stopped.result(TIMEOUT)


if __name__ == "__main__":
    main(sys.argv[1:])
