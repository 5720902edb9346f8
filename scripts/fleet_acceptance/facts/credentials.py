"""The facts of the credentials provider: AWS credentials for a device's certificate."""

from fleet_acceptance.facts.fact import Fact

_REFUSED = (
    "agent: vending/refusals.py decides by status, and says which statement or role to look at"
)
_REPORT = "by reports of runs against the service"
_DELAY = "agent: vending/cache.py asks again after refusals: for how long"


def _refusal(name: str, asks: str, answer: str, how: str) -> Fact:
    return Fact(
        id=f"credentials-{name}",
        asks=asks,
        stated=f"{answer}, {_REPORT}",
        mark="I",
        documented=answer,
        sandbox=answer,
        how=how,
        follows=_REFUSED,
    )


FACTS = (
    Fact(
        id="credentials-delay",
        asks="when a new role alias, role and policy give credentials",
        stated="not documented",
        mark="U",
        documented=None,
        sandbox="at once",
        how="make them, ask each second",
        follows=_DELAY,
    ),
    Fact(
        id="credentials-token",
        asks="the length of a session token",
        stated="under 2048 bytes with the rest of the answer, or AWS's own SDK fails",
        mark="N",
        documented="under 1900",
        sandbox="under 1900",
        how="ask",
        follows="agent: what it keeps and hands out; programs that keep it in a variable",
    ),
    Fact(
        id="credentials-members",
        asks="the members of the answer",
        stated="accessKeyId, expiration, secretAccessKey, sessionToken",
        mark="D",
        documented="accessKeyId, expiration, secretAccessKey, sessionToken",
        sandbox="accessKeyId, expiration, secretAccessKey, sessionToken",
        how="ask",
        follows="agent: vending/formats.py",
    ),
    _refusal(
        "policy", "the device's policy does not allow it", "403", "ask without the statement"
    ),
    _refusal("thing", "a thing that the certificate is not on", "403", "name another thing"),
    _refusal("inactive", "a certificate that is not active", "403", "switch it off, ask"),
    _refusal("alias", "a role alias that is not there", "404", "ask for one that nobody has"),
    _refusal(
        "trust",
        "a role that trusts another service",
        "400",
        "an alias of the provisioning role, which trusts iot.amazonaws.com",
    ),
)
