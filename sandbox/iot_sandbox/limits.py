"""AWS IoT Core's limits of a connection, and those that this sandbox leaves out. Pure."""

import re
from dataclasses import dataclass

# Rule → what it demands of a client, or of the sandbox. Each can be switched off with ``--without``.
RULES = {
    "packet-size": "payloads of 128 KiB and packets of 149,504 bytes at most; nothing longer than the client takes",
    "topic-aliases": "8 topic aliases from client to server",
    "receive-maximum": "100 unacknowledged messages each way, fewer if the client says so",
    "keep-alive": "who is silent for 1.5 times its keep-alive is disconnected",
    "topic-limits": "8 filters a SUBSCRIBE, 50 a connection, 7 slashes, 256 bytes, wildcards alone in their level",
    "command-filters": "a filter of commands' topics with + elsewhere than for the execution ends the connection",
    "session-expiry": "a session lives on for one hour at most",
    "unsuback": "UNSUBACK 0 for a filter that was not subscribed to; without it 17, as MQTT 5 has it",
}

MAXIMUM_PAYLOAD = 128 * 1024
MAXIMUM_PACKET = 149_504
TOPIC_ALIASES = 8
RECEIVE_MAXIMUM = 100
FILTERS_PER_PACKET = 8
FILTERS_PER_CONNECTION = 50
MAXIMUM_SLASHES = 7
MAXIMUM_TOPIC = 256
MAXIMUM_CLIENT_ID = 128
LONGEST_KEEP_ALIVE = 1200
LONGEST_SESSION = 3600
_COMMAND_FILTER = re.compile(
    r"\$aws/commands/(things|clients)/[^/+#]+/executions/[^/#]+"
    r"/(request(/(json|cbor))?|response/(accepted|rejected)/(json|cbor))"
)
# MQTT's default if there is no Receive Maximum.
UNLIMITED = 65_535


@dataclass(frozen=True)
class Limits:
    """The rules of one sandbox.

    Attributes:
        without: those of ``RULES`` that are left out.
        shortest_keep_alive: seconds that a shorter keep-alive counts as.
        resend_seconds: after which a message without PUBACK is sent again.
    """

    without: frozenset[str] = frozenset()
    shortest_keep_alive: int = 30
    resend_seconds: int = 30

    def has(self, rule: str) -> bool:
        """Whether a rule of ``RULES`` holds."""
        return rule not in self.without

    def keep_alive(self, asked: int) -> int:
        """Returns the seconds that hold for who asked for so many; 0 is for ever."""
        if not self.has("keep-alive"):
            return asked
        longest = LONGEST_KEEP_ALIVE
        return max(min(asked or longest, longest), self.shortest_keep_alive)

    def session_expiry(self, asked: int) -> int:
        """Returns the seconds that a session outlives its connection."""
        return min(asked, LONGEST_SESSION) if self.has("session-expiry") else asked

    def window(self, asked: int) -> int:
        """Returns how many messages may wait for the client's PUBACK at once."""
        return min(asked, RECEIVE_MAXIMUM) if self.has("receive-maximum") else UNLIMITED

    def takes_topic(self, topic: str) -> bool:
        """Whether a topic is within AWS's limits; reserved ones are not counted."""
        if topic.startswith("$aws/") or not self.has("topic-limits"):
            return True
        return topic.count("/") <= MAXIMUM_SLASHES

    def takes_filter(self, topic_filter: str) -> bool:
        """Whether a topic filter is one, and within AWS's limits."""
        if not self.has("topic-limits"):
            return True
        shared, topic = share_of(topic_filter)
        if shared == "" or not topic or len(topic.encode()) > MAXIMUM_TOPIC:
            return False
        levels = topic.split("/")
        if "#" in levels[:-1] or any(
            len(level) > 1 and set(level) & {"+", "#"} for level in levels
        ):
            return False
        return topic.startswith("$aws/") or len(levels) <= MAXIMUM_SLASHES + 1

    def stands_filter(self, topic_filter: str) -> bool:
        """Whether a connection outlives a subscription to it: AWS ends it for a wrong filter of commands' topics."""
        if not topic_filter.startswith("$aws/commands/") or not self.has("command-filters"):
            return True
        return _COMMAND_FILTER.fullmatch(topic_filter) is not None


def share_of(topic_filter: str) -> tuple[str | None, str]:
    """Splits ``$share/GROUP/FILTER``: the group, None if it is not shared, and the filter within."""
    if not topic_filter.startswith("$share/"):
        return None, topic_filter
    _, group, *rest = topic_filter.split("/", 2)
    if set(group) & {"+", "#"}:
        group = ""
    return group, "".join(rest)
