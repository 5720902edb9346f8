"""The hook of the experiments, as Lambda runs it: it does what the parameter ``Does`` says. Sent as it stands."""

import os
import time
from typing import Any

SLEEP_SECONDS = 9


def handler(event: dict[str, Any], _context: object) -> object:
    """Answers AWS IoT."""
    does = event.get("parameters", {}).get("Does", "allow")
    seen = "-"
    if does == "raise":
        _count()
        raise RuntimeError("as it was asked to")
    if does == "sleep":
        time.sleep(SLEEP_SECONDS)
    if does == "text":
        return "yes"
    if does == "look":
        seen = _look(event)
    return {"allowProvisioning": does != "deny", "parameterOverrides": {"Seen": seen}}


def _iot() -> Any:  # noqa: ANN401  botocore makes its classes
    import botocore.session

    return botocore.session.get_session().create_client("iot")


def _count() -> None:
    """Counts calls in an attribute of a thing."""
    iot, counter = _iot(), os.environ["COUNTER"]
    found = int(iot.describe_thing(thingName=counter)["attributes"].get("calls", "0"))
    payload = {"attributes": {"calls": str(found + 1)}, "merge": True}
    iot.update_thing(thingName=counter, attributePayload=payload)


def _look(event: dict[str, Any]) -> str:
    """Gives the new certificate's status, and on how many things it is."""
    iot, certificate = _iot(), event["certificateId"]
    found = iot.describe_certificate(certificateId=certificate)["certificateDescription"]
    things = iot.list_principal_things(principal=found["certificateArn"])["things"]
    return f"{found['status']}:{len(things)}"
