"""The facts of certificates that one's own CA has signed."""

from fleet_acceptance.facts.fact import Fact

_WAITS = "agent: for how long an adopted certificate's refusals are read as being registered"

FACTS = (
    Fact(
        id="own-ca-first-connect",
        asks="the first connect with a certificate that AWS IoT is to register for it",
        stated="closed without CONNACK, and the device comes again; an emulator does so as AWS does",
        mark="C",
        documented="closed",
        sandbox="closed",
        how="register a CA with a template, connect with a certificate of it",
        follows=_WAITS,
    ),
    Fact(
        id="own-ca-registered",
        asks="when that certificate is active",
        stated="soon after, by the template of its CA",
        mark="D",
        documented=None,
        sandbox="stays PENDING_ACTIVATION",
        how="look at it each second",
        follows=_WAITS,
    ),
    Fact(
        id="own-ca-misfit",
        asks="a certificate whose subject lacks what the template wants",
        stated="stays PENDING_ACTIVATION, and nothing tells the device; by reports",
        mark="I",
        documented="PENDING_ACTIVATION",
        sandbox="PENDING_ACTIVATION",
        how="connect with a certificate without common name, look at it",
        follows="docs: own-ca.md, how to see it",
    ),
    Fact(
        id="own-ca-misfit-connect",
        asks="its next connect",
        stated="closed, for ever; by reports",
        mark="I",
        documented="closed",
        sandbox="closed",
        how="connect with it again",
        follows=_WAITS,
    ),
)
