"""The topic filters of a configuration's orders: jobs, commands, the topic that orders a rotation."""

from collections.abc import Collection

from fleet_agent.config.settings import Settings
from fleet_agent.record import record


@record
class Moves:
    """Which moves may be ordered: ``names`` of destinations, by jobs, by messages on ``topic`` (filled in; None).

    ``here``: those of them that this device is at.
    """

    names: Collection[str] = ()
    here: Collection[str] = ()
    takes_jobs: bool = False
    topic: str | None = None


NOWHERE = Moves()


def wanted(
    settings: Settings, client_id: str, order_topic: str | None, moves: Moves = NOWHERE
) -> list[tuple[str, int]]:
    """The topic filters to subscribe to beside the subscriptions, with their QoS.

    Args:
        settings: The configuration.
        client_id: The thing's name.
        order_topic: ``rotation.order_topic``, filled in.
        moves: Which moves may be ordered.
    """
    jobs, found = f"$aws/things/{client_id}/jobs", []
    if settings.jobs.enabled and settings.jobs.leave:
        found = ["notify-next", "notify", "get/+", "+/get/+", "+/update/+"]
    elif settings.jobs.enabled:
        found = ["notify-next", "start-next/+", "+/get/+", "+/update/+"]
    elif settings.rotation.jobs or moves.takes_jobs:
        found = ["notify-next", "$next/get/accepted", "+/update/+"]
    names = [f"{jobs}/{name}" for name in found]
    if settings.commands.enabled:
        # "+" may stand in the place of the execution's id alone.
        base = f"$aws/commands/things/{client_id}/executions/+"
        answers = ("response/accepted/json", "response/rejected/json")
        names += [
            f"{base}/{name}" for name in ("request", "request/json", "request/cbor", *answers)
        ]
    return [(name, 1) for name in (*names, *filter(None, (order_topic, moves.topic)))]
