"""Configurations of other agents → what ours would say, and a name for everything ours has no word for.

A module a peer; each takes the leaves it knows out of a ``Document``; what is left over is reported, so that nothing is
lost silently. Pure: reading and writing files is the command's work.
"""

from collections.abc import Mapping

from fleet_agent.config.peers import device_client, greengrass
from fleet_agent.config.peers.document import Imported

# Of our own configuration, which shares `endpoint` with a peer's.
_OURS = ("ca_file", "claim", "provisioning", "identity", "telemetry", "subscriptions", "state_dir")


def translate(document: object) -> Imported | None:
    """Translates a peer's configuration; None if it belongs to no known peer.

    Args:
        document: As the JSON or YAML parser gave it.
    """
    if not isinstance(document, Mapping) or any(key in document for key in _OURS):
        return None
    if greengrass.recognises(document):
        return greengrass.translate(document)
    return device_client.translate(document) if device_client.recognises(document) else None
