"""The three provisioning requests: tokens, certificates, and how answers come."""

import json
import time

from fleet_acceptance.device import keys
from fleet_acceptance.device.mqtt import Identity, RefusedError, Reply, Session
from fleet_acceptance.measure.bench import CREATE_FROM_CSR, CREATE_KEYS, Bench, moment

# An answer that must not come everywhere comes at once where it does.
_UNASKED_SECONDS = 3.0
_LONGEST_SPREAD_SECONDS = 90.0


def measure(bench: Bench) -> None:
    """Measures all of it."""
    tokens(bench)
    refusals(bench)
    certificates(bench)
    replies(bench)


def answer(reply: Reply | None) -> str:
    """Gives an answer as facts have it."""
    return "no answer" if reply is None else reply.answer


def tokens(bench: Bench) -> None:
    """What a token is worth after it was used."""
    run, plain = bench.run, bench.template("plain")
    with (
        run.measuring("token-twice", "token-twice-other-session", "policy-spread"),
        bench.claim_session() as session,
    ):
        made = bench.issue(session)
        first = bench.register(session, plain, made.token, SerialNumber="twice")
        registered = time.monotonic()
        _spread(bench, bench.thing("twice"), made.identity, registered)
        again = bench.register(session, plain, made.token, SerialNumber="twice")
        run.record(
            "token-twice",
            answer(again),
            first=first and first.document,
            again=again and again.document,
        )
        with bench.claim_session() as other:
            later = bench.register(other, plain, made.token, SerialNumber="twice")
        run.record("token-twice-other-session", answer(later), again=later and later.document)
    with run.measuring("token-other-session"):
        with bench.claim_session() as session:
            made = bench.issue(session)
        with bench.claim_session() as other:
            reply = bench.register(other, plain, made.token, SerialNumber="other")
        run.record("token-other-session", answer(reply), answer=reply and reply.document)


def _spread(bench: Bench, thing: str, identity: Identity, registered: float) -> None:
    """Measures when the new certificate may connect."""
    tries: list[str] = []
    seconds = 0.0
    while seconds < _LONGEST_SPREAD_SECONDS:
        try:
            with Session(bench.run.server, identity, thing):
                seconds = time.monotonic() - registered
                break
        except RefusedError as error:
            seconds = time.monotonic() - registered
            tries.append(f"{seconds:.1f} s: {error.answer}")
        time.sleep(1.1)  # AWS takes one connect a second of a client id
    bench.run.record("policy-spread", moment(tries, seconds), seconds=seconds, refused=tries)


def refusals(bench: Bench) -> None:
    """What is refused, and with which words."""
    run, plain = bench.run, bench.template("plain")
    register = f"$aws/provisioning-templates/{plain}/provision/json"
    with run.measuring("token-unknown", "token-empty", "payload-invalid", "csr-invalid"):
        asked = {
            "token-unknown": (register, _registration("made-up-by-nobody")),
            "token-empty": (register, _registration("")),
            "payload-invalid": (register, b'{"certificateOwnershipToken": "'),
            "csr-invalid": (CREATE_FROM_CSR, {"certificateSigningRequest": "no request"}),
        }
        for fact, (topic, request) in asked.items():
            with bench.claim_session() as session:
                reply = session.ask(topic, request)
            run.record(fact, answer(reply), answer=reply and reply.document)
    with (
        run.measuring("token-after-refusal", "parameter-missing"),
        bench.claim_session() as session,
    ):
        made = bench.issue(session)
        refused = bench.register(session, plain, made.token)
        run.record("parameter-missing", answer(refused), answer=refused and refused.document)
        reply = bench.register(session, plain, made.token, SerialNumber="late")
        run.record("token-after-refusal", answer(reply), answer=reply and reply.document)


def _registration(token: str) -> dict[str, object]:
    return {"certificateOwnershipToken": token, "parameters": {"SerialNumber": "never"}}


def certificates(bench: Bench) -> None:
    """What certificates and keys are like."""
    run = bench.run
    with (
        run.measuring("csr-subject", "csr-twice", "certificate-id", "certificate-end"),
        bench.claim_session() as session,
    ):
        key = bench.key("subject")
        request = {"certificateSigningRequest": key.request}
        made = bench.issued(key, session.ask(CREATE_FROM_CSR, request))
        subject = keys.subject(made.certificate_pem)
        run.record(
            "csr-subject",
            "kept" if f"CN={run.id} subject" in subject else "replaced",
            subject=subject,
        )
        is_id = keys.fingerprint(made.certificate_pem) == made.certificate_id
        run.record("certificate-id", "SHA-256 of the DER" if is_id else "something else")
        run.record("certificate-end", keys.end(made.certificate_pem))
        second = bench.issued(key, session.ask(CREATE_FROM_CSR, request))
        is_same = second.certificate_id == made.certificate_id
        run.record("csr-twice", "one certificate" if is_same else "two certificates")
    with run.measuring("service-key"), bench.claim_session() as session:
        reply = session.ask(CREATE_KEYS, {})
        if reply is not None:
            bench.learn(reply.document)
            subject = keys.subject(str(reply.document["certificatePem"]))
            kind = keys.kind(str(reply.document["privateKey"]))
            run.record("service-key", kind, subject=subject, members=sorted(reply.document))
    with run.measuring("device-configuration"), bench.claim_session() as session:
        made = bench.issue(session)
        reply = bench.register(
            session, bench.template("plain"), made.token, SerialNumber="configured"
        )
        if reply is not None and reply.suffix == "accepted":
            found = reply.document.get("deviceConfiguration", ...)
            words = "absent" if found is ... else json.dumps(found)
            run.record("device-configuration", words, answer=reply.document)


def replies(bench: Bench) -> None:
    """Which client receives answers, and at which QoS."""
    run = bench.run
    with run.measuring("reply-qos", "reply-unasked"):
        asked = _ask_for_certificate(bench, subscribed=True)
        unasked = _ask_for_certificate(bench, subscribed=False)
        run.record("reply-unasked", "delivered" if unasked else "not delivered")
        found = (asked.qos if asked else None, unasked.qos if unasked else None)
        words = "as subscribed" if found in ((1, 0), (1, None)) else str(found[0])
        run.record("reply-qos", words, subscribed=found[0], not_subscribed=found[1])
    with (
        run.measuring("reply-elsewhere"),
        bench.claim_session() as other,
        bench.claim_session() as session,
    ):
        codes = other.subscribe(f"{CREATE_FROM_CSR}/accepted")
        bench.issue(session)
        received = other.next(run.silence)
        run.record("reply-elsewhere", "delivered" if received else "not delivered", suback=codes)
    with run.measuring("reply-not-allowed"):
        policy = bench.policy("bench-deaf", *bench.claim_statements(receive=False))
        deaf, _ = bench.identity("deaf", policy)
        with Session(run.server, deaf, bench.client_id()) as session:
            reply = session.ask(CREATE_FROM_CSR, _request(bench), seconds=run.silence)
            if reply:
                bench.learn(reply.document)
            run.record("reply-not-allowed", "delivered" if reply else "not delivered")


def _request(bench: Bench) -> dict[str, str]:
    return {"certificateSigningRequest": bench.key("device").request}


def _ask_for_certificate(bench: Bench, *, subscribed: bool) -> Reply | None:
    with bench.claim_session() as session:
        seconds = 20.0 if subscribed else _UNASKED_SECONDS
        reply = session.ask(
            CREATE_FROM_CSR, _request(bench), subscribed=subscribed, seconds=seconds
        )
    if reply:
        bench.learn(reply.document)
    return reply
