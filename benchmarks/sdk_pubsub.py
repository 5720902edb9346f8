"""The peer of a boot: AWS's MQTT 5 publish/subscribe sample, as far as its first acknowledged message.

Arguments: endpoint port ca certificate key client-id. Prints a line once connected, one once acknowledged, and waits
for SIGTERM.
"""

import json
import signal
import sys
from concurrent.futures import Future
from typing import Any

from awscrt import mqtt5
from awsiot import mqtt5_client_builder

TIMEOUT = 30


def main(words: list[str]) -> None:
    """Connect, subscribe, publish."""
    endpoint, port, ca_file, certificate, key, client_id = words
    connected: Future[Any] = Future()
    client = mqtt5_client_builder.mtls_from_path(
        endpoint=endpoint,
        port=int(port),
        cert_filepath=certificate,
        pri_key_filepath=key,
        ca_filepath=ca_file,
        client_id=client_id,
        on_lifecycle_connection_success=connected.set_result,
    )
    client.start()
    connected.result(TIMEOUT)
    print("connected", flush=True)
    at_least_once = mqtt5.QoS.AT_LEAST_ONCE
    client.subscribe(
        mqtt5.SubscribePacket(
            subscriptions=[mqtt5.Subscription(f"cmd/{client_id}/#", qos=at_least_once)]
        )
    ).result(TIMEOUT)
    client.publish(
        mqtt5.PublishPacket(
            topic=f"dt/{client_id}/system", payload=json.dumps({"load": 0.1}), qos=at_least_once
        )
    ).result(TIMEOUT)
    print("acknowledged", flush=True)
    signal.sigwait([signal.SIGTERM])


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    main(sys.argv[1:])
