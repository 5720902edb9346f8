"""Who the device is in tests that need no more than that."""

from fleet_agent.credentials.model import Credential

CREDENTIAL = Credential(
    generation=1,
    certificate_id="c0ffee",
    certificate_file="",
    private_key_file=None,
    thing_name="pump-7",
    device_configuration={"site": "north", "ring:0": "a.b", "thing": "other"},
    endpoint="a.example",
    template="t",
    is_proven=True,
    proven=None,
)
