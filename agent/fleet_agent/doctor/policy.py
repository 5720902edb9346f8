"""What the broker's answers show about a policy: it allows this, or lacks the statement that the finding has."""

import dataclasses
from collections.abc import Sequence

from fleet_agent import pasted
from fleet_agent.doctor import arn as arns
from fleet_agent.doctor.finding import Finding, Findings, Level, Subject
from fleet_agent.errors import NOT_ALLOWED
from fleet_agent.pasted import Arn
from fleet_agent.record import record
from fleet_agent.session.conversation import Conversation, Ended, Unsent
from fleet_agent.session.message import Outgoing
from fleet_agent.session.reasons import NOT_AUTHORIZED, PUBLISHED

_REFUSED = 128  # reason codes from here on are errors
_THING = "${iot:Connection.Thing.ThingName}"


@record
class Policy:
    """Whose policy it is, and how its statements are written.

    ``name`` occurs in topics, and is written as a variable in the policy; a refusal is reported with ``level``.
    """

    about: Subject
    who: str
    arn: Arn
    level: Level = Level.FAILED
    name: str | None = None

    def lacks(
        self, action: str, resource: str, words: str, *, is_pattern: bool = False
    ) -> Finding:
        """Returns the finding that a statement is missing; ``is_pattern``: a wildcard in the resource is intended."""
        is_fit = is_pattern or not pasted.is_wild(resource)
        general = resource.replace(self.name, _THING) if self.name else resource
        return Finding(
            check=self.about.check,
            level=self.level,
            code=NOT_ALLOWED,
            title=f"{words}: the {self.who}'s policy does not allow {action}.",
            where=resource.partition("/")[2],
            remedy=f"Add this statement to the policy{arns.missing(self.arn)}:"
            if is_fit
            else pasted.WILD,
            statement=self.arn.statement(action, general) if is_fit else None,
        )


def granted(talk: Conversation, policy: Policy, filters: Sequence[str], general: str) -> Findings:
    """Judges the SUBACK of filters that one statement allows."""
    codes = [talk.codes.get(name) for name in filters]
    worst = max((code for code in codes if code is not None), default=None)
    if worst is None:
        yield policy.about.warning(
            "no-suback", "No SUBACK arrived.", general, "Try again: fleet-agent doctor --online"
        )
    elif worst == NOT_AUTHORIZED:
        resource = f"topicfilter/{general}"
        is_pattern = [general] != list(filters)
        yield policy.lacks("iot:Subscribe", resource, f"SUBACK {worst}", is_pattern=is_pattern)
    elif worst >= _REFUSED:
        yield _odd(policy, f"SUBACK {worst}", general)
    else:
        yield policy.about.ok(f"SUBACK {worst}: {general}", general)


def published(talk: Conversation, policy: Policy, message: Outgoing) -> Findings:
    """Publishes, and judges the PUBACK."""
    answer = talk.publish(message)
    match answer:
        case int(code) if code == NOT_AUTHORIZED:
            yield _may_not_publish(talk, policy, message, f"PUBACK {code}")
        case Ended():
            yield _may_not_publish(talk, policy, message, f"The connection ended ({answer})")
        case int(code) if code >= _REFUSED:
            yield _odd(policy, f"PUBACK {code}", message.topic)
        case int(code):
            yield policy.about.ok(f"PUBACK {code}: {message.topic}", message.topic)
        case Unsent() | None:
            yield policy.about.warning(
                "no-puback",
                "No PUBACK arrived.",
                message.topic,
                "Try again: fleet-agent doctor --online",
            )


def _may_not_publish(talk: Conversation, policy: Policy, message: Outgoing, words: str) -> Finding:
    action = "iot:Publish"
    if message.retain and talk.publish(dataclasses.replace(message, retain=False)) in PUBLISHED:
        action = "iot:RetainPublish"  # a separate right
    return policy.lacks(action, f"topic/{message.topic}", words)


def _odd(policy: Policy, words: str, topic: str) -> Finding:
    return policy.about.failed(
        "topic-refused",
        f"{words}: AWS IoT does not accept {topic}.",
        topic,
        "144, 143: AWS IoT allows no such topic; 151: a quota is used up; others: try again",
    )
