"""The peer of the telemetry: awscrt publishing QoS 1 in a window, with no queue and nothing durable.

Arguments: endpoint port ca certificate key client-id readings bytes flow-control(0|1) readings-a-second(0: as fast as
they go). Prints seconds and CPU seconds.
"""

import json
import sys
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from awscrt import io, mqtt5

WINDOW = 90  # unacknowledged at a time, as the agent's


def main(words: list[str]) -> None:
    """Publish and wait for every PUBACK."""
    endpoint, port, ca_file, certificate, key, client_id, count, size, flow, rate = words
    connected = threading.Event()
    options = io.TlsContextOptions.create_client_with_mtls(
        Path(certificate).read_bytes(), Path(key).read_bytes()
    )
    options.override_default_trust_store(Path(ca_file).read_bytes())
    control = mqtt5.ExtendedValidationAndFlowControlOptions
    client = mqtt5.Client(
        mqtt5.ClientOptions(
            host_name=endpoint,
            port=int(port),
            tls_ctx=io.ClientTlsContext(options),
            connect_options=mqtt5.ConnectPacket(client_id=client_id),
            extended_validation_and_flow_control_options=(
                control.AWS_IOT_CORE_DEFAULTS if flow == "1" else control.NONE
            ),
            on_lifecycle_event_connection_success_fn=lambda _data: connected.set(),
            disable_metrics=True,
        )
    )
    client.start()
    connected.wait(30)
    free = threading.Semaphore(WINDOW)

    def done(future: "Future[Any]") -> None:
        future.result()
        free.release()

    payload = b"x" * int(size)
    began, cpu = time.monotonic(), time.process_time()
    for number in range(int(count)):
        early = began + number / int(rate) - time.monotonic() if rate != "0" else 0.0
        if early > 0:
            time.sleep(early)
        free.acquire()
        packet = mqtt5.PublishPacket(
            topic=f"dt/{client_id}/bench", payload=payload, qos=mqtt5.QoS.AT_LEAST_ONCE
        )
        client.publish(packet).add_done_callback(done)
    for _ in range(WINDOW):
        free.acquire()
    print(json.dumps({"seconds": time.monotonic() - began, "cpu": time.process_time() - cpu}))


if __name__ == "__main__":
    main(sys.argv[1:])
