"""The peer of the daemon: one awscrt MQTT 5 session and nothing else, until SIGTERM.

Arguments: endpoint port ca certificate key client-id. Prints a line once connected.
"""

import signal
import sys
import threading
from pathlib import Path

from awscrt import io, mqtt5


def main(words: list[str]) -> None:
    """Connect and wait."""
    endpoint, port, ca_file, certificate, key, client_id = words
    connected = threading.Event()
    options = io.TlsContextOptions.create_client_with_mtls(
        Path(certificate).read_bytes(), Path(key).read_bytes()
    )
    options.override_default_trust_store(Path(ca_file).read_bytes())
    client = mqtt5.Client(
        mqtt5.ClientOptions(
            host_name=endpoint,
            port=int(port),
            tls_ctx=io.ClientTlsContext(options),
            connect_options=mqtt5.ConnectPacket(client_id=client_id),
            on_lifecycle_event_connection_success_fn=lambda _data: connected.set(),
            disable_metrics=True,
        )
    )
    client.start()
    connected.wait(30)
    print("connected", flush=True)
    signal.sigwait([signal.SIGTERM])


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    main(sys.argv[1:])
