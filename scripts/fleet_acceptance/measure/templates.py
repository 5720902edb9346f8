"""Templates, and things that are there already."""

from collections.abc import Callable, Mapping

from botocore.exceptions import ClientError

from fleet_acceptance.device.mqtt import Identity, RefusedError, Reply, Session
from fleet_acceptance.measure.bench import Bench
from fleet_acceptance.measure.requests import answer

_OVERRIDES: tuple[tuple[str, str, str], ...] = (
    ("override-none", "plain", ""),
    ("override-fail", "fail", "FAIL"),
    ("override-nothing", "nothing", "DO_NOTHING"),
    ("override-merge", "merge", "MERGE"),
    ("override-replace", "replace", "REPLACE"),
)


def measure(bench: Bench) -> None:
    """Measures all of it."""
    temporary(bench)
    refusals(bench)
    existing(bench)


def register_new(bench: Bench, template: str, **parameters: str) -> Reply | None:
    """Registers a new certificate, on a connection of its own."""
    with bench.claim_session() as session:
        made = bench.issue(session)
        return bench.register(session, template, made.token, **parameters)


def temporary(bench: Bench) -> None:
    """A claim of five minutes, for one template."""
    run, own = bench.run, bench.template("plain")
    with run.measuring("temporary-claim-client", "temporary-claim-template"):
        made = bench.iot.create_provisioning_claim(templateName=own)
        private = str(made["keyPair"]["PrivateKey"])
        run.redactor.learn(private)
        folder = run.path / "bench"
        key = folder / "temporary.key"
        key.touch(0o600)
        key.write_text(private)
        certificate = folder / "temporary.crt"
        certificate.write_text(str(made["certificatePem"]))
        try:
            session = Session(run.server, Identity(certificate, key), bench.client_id())
            with session:
                run.record("temporary-claim-client", "any")
                _other_template(bench, session)
        except RefusedError as error:
            run.record("temporary-claim-client", error.answer)


def _other_template(bench: Bench, session: Session) -> None:
    """Registers with another template than the claim's, which may as well end the connection."""
    other = bench.template("undeclared", declares=False)
    made = bench.issue(session)
    said = "no answer"
    try:
        reply = bench.register(session, other, made.token, SerialNumber="foreign", Colour="red")
        said = answer(reply)
    except Exception as error:  # noqa: BLE001  awscrt raises its own where the connection ends
        said = str(error)
    words = "accepted" if said == "accepted" else "refused"
    bench.run.record("temporary-claim-template", words, said=said)


def refusals(bench: Bench) -> None:
    """Templates that are not there, and those that cannot be filled in."""
    run = bench.run
    asked: dict[str, tuple[Callable[[], str], dict[str, str]]] = {
        "template-missing": (lambda: f"{run.id}-nobody", {"SerialNumber": "never"}),
        "template-disabled": (
            lambda: bench.template("disabled", enabled=False),
            {"SerialNumber": "never"},
        ),
        "parameter-undeclared": (
            lambda: bench.template("plain"),
            {"SerialNumber": "more", "Unheard": "of"},
        ),
        "ref-undeclared": (
            lambda: bench.template("undeclared", declares=False),
            {"SerialNumber": "undeclared", "Colour": "red"},
        ),
        "thing-name-invalid": (lambda: bench.template("plain"), {"SerialNumber": "a blank"}),
    }
    for fact, (template, parameters) in asked.items():
        with run.measuring(fact):
            reply = register_new(bench, template(), **parameters)
            run.record(fact, answer(reply), answer=reply and reply.document)
    with run.measuring("policy-missing", "half-registered"):
        named = bench.template("no-policy", policy=f"{run.id}-nobodys")
        reply = register_new(bench, named, SerialNumber="half")
        run.record("policy-missing", answer(reply), answer=reply and reply.document)
        left = attributes_of(bench, "half") is not None
        run.record("half-registered", "the thing" if left else "nothing")


def existing(bench: Bench) -> None:
    """A thing that is there registers again."""
    run = bench.run
    for fact, template, setting in _OVERRIDES:
        with run.measuring(fact):
            named = (
                bench.template(template, overrides={"AttributePayload": setting})
                if setting
                else bench.template(template)
            )
            serial = f"again-{template}"
            first = register_new(bench, named, SerialNumber=serial, Colour="red")
            second = register_new(bench, named, SerialNumber=serial, Colour="blue")
            colour = (attributes_of(bench, serial) or {}).get("colour")
            words = answer(second)
            if words == "accepted":
                words += ", attribute kept" if colour == "red" else ", attribute changed"
            run.record(fact, words, first=answer(first), answer=second and second.document)
    with run.measuring("override-fail-equal"):
        named = bench.template("fail", overrides={"AttributePayload": "FAIL"})
        reply = register_new(bench, named, SerialNumber="again-fail", Colour="red")
        run.record("override-fail-equal", answer(reply), answer=reply and reply.document)
    with run.measuring("exclusive-thing"), bench.claim_session() as session:
        made = bench.issue(session)
        named = bench.template("exclusive", exclusive=True)
        bench.register(session, named, made.token, SerialNumber="exclusive")
        other = bench.thing("exclusive-other")
        bench.iot.create_thing(thingName=other)
        arn = run.cloud.arn(f"cert/{made.certificate_id}")
        try:
            bench.iot.attach_thing_principal(thingName=other, principal=arn)
        except ClientError as error:
            run.record("exclusive-thing", "refused", said=str(error))
        else:
            run.record("exclusive-thing", "attached")
    with run.measuring("older-certificate"):
        states = _certificates(bench, bench.thing("again-merge"))
        is_kept = len(states) > 1 and set(states) == {"ACTIVE"}
        words = "active and attached" if is_kept else ", ".join(states)
        run.record("older-certificate", words, states=states)


def attributes_of(bench: Bench, serial: str) -> Mapping[str, str] | None:
    """Gives a thing's attributes; None where it is not there."""
    try:
        found = bench.iot.describe_thing(thingName=bench.thing(serial))
    except ClientError:
        return None
    attributes: Mapping[str, str] = found["attributes"]
    return attributes


def _certificates(bench: Bench, thing: str) -> list[str]:
    """Gives the states of a thing's certificates."""
    principals = bench.iot.list_thing_principals(thingName=thing)["principals"]
    return [
        bench.iot.describe_certificate(certificateId=arn.rpartition("/")[2])[
            "certificateDescription"
        ]["status"]
        for arn in principals
    ]
