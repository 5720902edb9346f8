"""The facts that take an hour, or something from others: measured where they are asked for."""

from fleet_acceptance.facts.fact import Fact

FACTS = (
    Fact(
        id="token-expired",
        asks="RegisterThing with a token that is older than an hour",
        stated="the token is good for an hour; how a later one is refused is not documented",
        mark="C",
        documented="400 InvalidCertificateOwnershipToken",
        sandbox="400 InvalidCertificateOwnershipToken",
        how="ask for a certificate, register it 61 minutes later",
        follows="agent: provisioning/answers.py; a device that was off for an hour asks for another certificate",
    ),
    Fact(
        id="certificate-after-an-hour",
        asks="a certificate that nobody has registered for an hour",
        stated="is deleted",
        mark="D",
        documented="deleted",
        sandbox="deleted",
        how="look for it after that",
        follows="companion: devices clean; security: what an unregistered certificate is good for",
    ),
    Fact(
        id="throttled",
        asks="CreateCertificateFromCsr, thirty at once",
        stated="10 a second by default; the code is not documented, 429 is an emulator's",
        mark="C",
        documented="429 Throttling",
        sandbox="nothing of 30 at once",
        how="publish thirty requests on one connection; other devices of the account share the quota meanwhile",
        follows="agent: provisioning/answers.py waits and comes again for 429 and 5xx; sandbox: the fault quota",
    ),
)
