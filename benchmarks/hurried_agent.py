"""``fleet-agent`` whose SDK waits a tenth of a second at most, not five minutes, before it connects again.

So a thousand lost connections take minutes.
"""

from awscrt import mqtt5

from fleet_agent.__main__ import main

WAIT = 100  # milliseconds

_make = mqtt5.Client.__init__


def _make_hurried(self: mqtt5.Client, client_options: mqtt5.ClientOptions) -> None:
    client_options.min_reconnect_delay_ms = client_options.max_reconnect_delay_ms = WAIT
    _make(self, client_options)


if __name__ == "__main__":
    mqtt5.Client.__init__ = _make_hurried
    main()
