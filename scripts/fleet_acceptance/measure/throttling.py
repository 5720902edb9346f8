"""What a request meets that is one too many: three times what AWS's default quota admits in a second, at once."""

from collections import Counter

from fleet_acceptance.measure.bench import CREATE_FROM_CSR, Bench

_REQUESTS = 30
_SECONDS = 20.0


def measure(bench: Bench) -> None:
    """Asks for many certificates at once, and counts the answers."""
    run = bench.run
    with run.measuring("throttled"), bench.claim_session() as session:
        session.subscribe(f"{CREATE_FROM_CSR}/accepted", f"{CREATE_FROM_CSR}/rejected")
        request = {"certificateSigningRequest": bench.key("throttled").request}
        sent = [session.publish_later(CREATE_FROM_CSR, request) for _ in range(_REQUESTS)]
        answers: Counter[str] = Counter()
        while sum(answers.values()) < _REQUESTS and (
            reply := session.reply(CREATE_FROM_CSR, _SECONDS)
        ):
            bench.learn(reply.document)
            answers[reply.answer] += 1
        answers["no answer"] = _REQUESTS - sum(answers.values())
        acknowledged = Counter(
            int(message.result(_SECONDS).puback.reason_code) for message in sent
        )
        refused = sorted(word for word, count in answers.items() if count and word != "accepted")
        run.record(
            "throttled",
            ", ".join(refused) or f"nothing of {_REQUESTS} at once",
            answers=+answers,
            pubacks={str(code): count for code, count in acknowledged.items()},
        )
