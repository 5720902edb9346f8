"""What a hook may do, and what becomes of the registration."""

import time

from fleet_acceptance.measure import hook
from fleet_acceptance.measure.bench import Bench
from fleet_acceptance.measure.requests import answer
from fleet_acceptance.measure.templates import attributes_of, register_new


def measure(bench: Bench) -> None:
    """Measures all of it."""
    run = bench.run
    with run.measuring("hook-denies", "token-after-denial"):
        template = bench.template("hooked", hook=True)
        with bench.claim_session() as session:
            made = bench.issue(session)
            denied = bench.register(
                session, template, made.token, SerialNumber="denied", Does="deny"
            )
            run.record("hook-denies", answer(denied), answer=denied and denied.document)
            reply = bench.register(session, template, made.token, SerialNumber="denied")
            run.record("token-after-denial", answer(reply), answer=reply and reply.document)
    with run.measuring("hook-raises", "hook-calls"):
        reply = register_new(
            bench, bench.template("hooked", hook=True), SerialNumber="r", Does="raise"
        )
        run.record("hook-raises", answer(reply), answer=reply and reply.document)
        counted = (attributes_of(bench, "counter") or {}).get("calls", "0")
        run.record("hook-calls", counted)
    with run.measuring("hook-invalid"):
        reply = register_new(
            bench, bench.template("hooked", hook=True), SerialNumber="t", Does="text"
        )
        run.record("hook-invalid", answer(reply), answer=reply and reply.document)
    with run.measuring("hook-slow", "hook-limit"), bench.claim_session() as session:
        made = bench.issue(session)
        began = time.monotonic()
        reply = bench.register(
            session,
            bench.template("hooked", hook=True),
            made.token,
            SerialNumber="s",
            Does="sleep",
        )
        seconds = time.monotonic() - began
        run.record("hook-slow", answer(reply), answer=reply and reply.document)
        is_waited_for = seconds >= hook.SLEEP_SECONDS
        words = f"longer than {hook.SLEEP_SECONDS} s" if is_waited_for else f"{int(seconds)} s"
        run.record("hook-limit", words, seconds=round(seconds, 2))
    with run.measuring("hook-sees"):
        template = bench.template("looking", hook=True, looks=True)
        register_new(bench, template, SerialNumber="looked", Does="look")
        seen = (attributes_of(bench, "looked") or {}).get("seen", "")
        status, _, things = seen.partition(":")
        words = (
            f"{status}, {'not attached' if things == '0' else 'attached'}" if seen else "nothing"
        )
        run.record("hook-sees", words, seen=seen)
