"""What to do after the answer to a message, and how to word its failure. Pure.

``session.reasons`` explains the reason codes; this module decides what the publisher does about them.
"""

import enum

from fleet_agent.errors import AgentError, NotAllowedError, RefusedError
from fleet_agent.health.table import PUBLISH_REFUSED
from fleet_agent.printable import printable
from fleet_agent.session import reasons
from fleet_agent.session.events import NoAnswer, Published
from fleet_agent.session.mqtt import ACK_LIMIT
from fleet_agent.session.reasons import Kind, Packet


class Verdict(enum.Enum):
    """What to do with a message's readings, or with the answer it carries."""

    TAKEN = "forget them: AWS has them"
    AGAIN = "send them again with the next connection"
    LATER = "send them again after a pause"
    POLICY = "as the settings say: send them again after a long pause, or drop them"
    LARGE = "send less at once; a single one can never be sent"
    NEVER = "drop them"


_OF_KINDS = {
    Kind.DONE: Verdict.TAKEN,
    Kind.POLICY: Verdict.POLICY,
    Kind.NEVER: Verdict.NEVER,
    Kind.BUSY: Verdict.LATER,
    Kind.WRONG: Verdict.LATER,
}

_WITHOUT_ANSWER = {
    None: Verdict.LATER,
    NoAnswer.CUT: Verdict.AGAIN,
    NoAnswer.LATE: Verdict.LATER,
    NoAnswer.FAILED: Verdict.LATER,
    # awscrt knows the server's limits: mostly of the size.
    NoAnswer.NOT_HERE: Verdict.LARGE,
    NoAnswer.IMPOSSIBLE: Verdict.NEVER,
}


def judge(event: Published) -> Verdict:
    """Decides what to do after an answer, or its absence."""
    if event.reason_code in reasons.PUBLISHED:
        return Verdict.TAKEN
    if event.reason_code is None:
        return _WITHOUT_ANSWER[event.no_answer]
    if event.reason_code == reasons.TOO_LARGE:
        return Verdict.LARGE
    return _OF_KINDS[reasons.reason(Packet.PUBACK, event.reason_code).kind]


def problem(event: Published, endpoint: str, *, is_foreign: bool = False) -> AgentError:
    """Words the answer as a problem for the user.

    Args:
        event: The answer.
        endpoint: Named in policy statements.
        is_foreign: Somebody else chose the topic: the sender of a message, for its answer.
    """
    code, topic = event.reason_code, printable(event.topic)
    if code == reasons.NOT_AUTHORIZED:
        resource = f"topic/{event.topic}"
        return NotAllowedError(
            "thing", "iot:Publish", resource, endpoint=endpoint, is_foreign=is_foreign
        )
    if code is not None:
        reason = reasons.reason(Packet.PUBACK, code)
        words = reasons.words(Packet.PUBACK, code)
        return _refused(
            f"AWS IoT did not accept a message on {topic}: {words} ({reason.cause}).",
            reason.remedy,
        )
    match event.no_answer:
        case NoAnswer.LATE:
            return _refused(
                f"A message on {topic} was not acknowledged within {ACK_LIMIT} s.",
                "The agent sends it again. If that fails, does the network lose large packets? fleet-agent "
                "doctor",
            )
        case NoAnswer.IMPOSSIBLE:
            return _refused(
                f"A message on {topic} can never be sent: {printable(event.error)}.",
                "Correct the program that sends it; fleet-agent status --json counts the dropped readings.",
            )
        case _:
            return _refused(
                f"A message on {topic} was not sent: {printable(event.error)}.",
                "The agent sends it again, less and less often.",
            )


def too_large(topic: str, size: int, limit: int | None) -> AgentError:
    """Words a reading, or an answer, that is larger than the server accepts; ``limit``: in bytes, where known."""
    most = f"{limit} bytes" if limit else "less"
    return _refused(
        f"A message on {printable(topic)} has {size} bytes, but the server accepts {most}: it was dropped.",
        "Let the program that makes it send less at a time.",
    )


def ended_connection(topic: str) -> AgentError:
    """Words a message that ended the connection twice."""
    return _refused(
        f"A message on {printable(topic)} ended the connection twice: it was dropped.",
        "Does the server accept such a topic and payload? Its log shows why: see AWS IoT's logs, or the broker's.",
    )


def _refused(title: str, remedy: str) -> AgentError:
    return RefusedError(title, remedy=remedy, code=PUBLISH_REFUSED.code)
