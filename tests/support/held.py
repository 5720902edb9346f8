"""The network in the place of a connection: holds what was published until the test decides."""

from fleet_agent.session.events import NoAnswer, Published
from fleet_agent.session.message import Outgoing
from fleet_agent.session.mqtt import Session


class Held(Session):
    """Takes messages; answers when told to."""

    def __init__(self) -> None:
        self.flying: list[tuple[Outgoing, object]] = []
        self.carried: list[Outgoing] = []

    def publish(self, message: Outgoing, tag: object = None) -> None:
        self.flying.append((message, tag))
        self.carried.append(message)

    def answer(
        self, index: int, code: int | None, no_answer: NoAnswer = NoAnswer.CUT
    ) -> Published:
        message, tag = self.flying.pop(index)
        return Published(
            session=self,
            topic=message.topic,
            tag=tag,
            reason_code=code,
            error="" if code is not None else no_answer.value,
            no_answer=None if code is not None else no_answer,
        )
