"""One program that sends readings over the socket."""

import collections
import socket
from functools import partial

from fleet_agent.local_clients.admission import Usage
from fleet_agent.local_clients.lingering_close import LingeringClose
from fleet_agent.process.mailbox import ENDING, WRITING, Mailbox
from fleet_agent.telemetry.reading import Reading
from fleet_agent.telemetry.sources import packet
from fleet_agent.telemetry.sources.allow_list import Rights
from fleet_agent.telemetry.sources.feed import Feed
from fleet_agent.telemetry.sources.packet import MAX_PACKET, PacketError, answer

SCRATCH = MAX_PACKET + 1  # bytes: one more shows that a packet is too large

BURST = 256  # packets that one user's connections are read for before others get their turn, ...
BURST_BYTES = MAX_PACKET  # ... and bytes, which also those cost that are refused
MAX_OPEN = 4096  # packets of a client that are not answered, ...
MAX_OPEN_BYTES = 512 * 1024  # ... and bytes of their payloads, until it is not read from
MAX_WAITS = 1024  # readings of a client that is to hear when AWS has them
# The same for all clients of one user together, those that are closed since included.
MAX_USER_BYTES = 4 * MAX_OPEN_BYTES
MAX_USER_WAITS = 4 * MAX_WAITS


class _Slot:
    """A packet's place in the order of answers; ``answer`` is empty until it is known."""

    __slots__ = ("answer", "is_answered", "name", "outcome", "size")

    def __init__(self) -> None:
        self.answer = b""
        self.is_answered = False  # the answer is sent
        self.name: object = None
        self.size = 0
        self.outcome = b""  # whether AWS took it, when that was known before the answer was sent


class Connection:
    """Reads packets, hands readings in, answers in the order of the packets.

    Args:
        client: Connected, nonblocking.
        rights: What its user may send to.
        usage: Of its user; it is listed there until it is closed.
        feed: Where readings go.
        mailbox: Where it is watched.
        lingering: Takes it over when it is evicted.
        scratch: ``SCRATCH`` bytes to read into, shared by all.
    """

    def __init__(  # noqa: PLR0913 - what all connections work with
        self,
        client: socket.socket,
        rights: Rights,
        usage: Usage,
        feed: Feed,
        mailbox: Mailbox,
        *,
        lingering: LingeringClose,
        scratch: bytearray,
    ) -> None:
        self._client = client
        self._rights = rights
        self._usage = usage
        self._feed = feed
        self._source = f"{feed.name}/{rights.user}"
        self._mailbox = mailbox
        self._lingering = lingering
        self._scratch = scratch
        self._view = memoryview(scratch)
        self._slots: collections.deque[_Slot] = collections.deque()
        self._outcomes: collections.deque[bytes] = collections.deque()  # to be sent
        self._size = 0
        self._waits = 0
        self._is_open = True
        self._is_full = False  # not read from
        self._is_last = False  # no packet comes any more: it is over after the last answer
        self._is_stuck = False  # its side of the socket is full of answers
        self.active_at = feed.clock.monotonic()
        usage.clients.add(self)
        mailbox.watch(client.fileno(), self._read)

    def close(self) -> None:
        """Ends it; readings that were handed in stay."""
        if self._is_open:
            self._leave()
            self._client.close()

    def evict(self) -> None:
        """Closes it in favour of another program; its own program receives the reason."""
        if self._is_open:
            self._leave()
            self._lingering.send_last(self._client, answer(None, _makes_room()))

    def _leave(self) -> None:
        self._is_open = False
        self._mailbox.unwatch(self._client.fileno())
        self._slots.clear()
        self._outcomes.clear()
        self._usage.clients.discard(self)
        self._usage.held.discard(self)

    @property
    def is_waiting(self) -> bool:
        """Whether it waits for an answer, or for AWS to take a reading."""
        return bool(self._slots or self._outcomes or self._waits)

    # In -------------------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        recv_into, scratch, view = self._client.recv_into, self._scratch, self._view
        self.active_at = self._feed.clock.monotonic()
        left = BURST_BYTES
        for _ in range(max(1, BURST // len(self._usage.clients))):
            if left <= 0 or self._is_full or self._is_stuck or not self._is_open:
                return
            try:
                size = recv_into(scratch)
            except BlockingIOError:
                return
            except OSError:
                size = 0
            if size == 0:
                self._ended()
                return
            left -= size
            self._take(view[:size])

    def _ended(self) -> None:
        """Handles the end of its packets. It may still read, until its side is gone."""
        self._is_last = True
        self._mailbox.unwatch(self._client.fileno())
        self._mailbox.watch(self._client.fileno(), self.close, ENDING)
        self._answer()

    def _take(self, data: memoryview) -> None:
        slot = _Slot()
        self._slots.append(slot)
        try:
            if len(data) > MAX_PACKET:
                raise PacketError(  # noqa: TRY301 - one place turns refusals into answers
                    packet.TOO_LARGE,
                    f"The packet has more than {MAX_PACKET} bytes.",
                    "Send smaller packets.",
                )
            request = packet.parse(data)
            slot.name = request.name
            topic = self._rights.topic(request.topic)
            if request.waits:
                self._refuse_more_waits()
        except PacketError as error:
            slot.answer = answer(error.name or slot.name, error)
            # Behind one that is not stored yet many of these may wait, too.
            self._bound()
            self._answer()
            return
        feed = self._feed
        now = feed.clock.wall()
        reading = Reading(
            topic=topic,
            payload=request.payload,
            time=now,
            content_type=request.content_type,
            expires=None if request.lifetime is None else now + request.lifetime,
            priority=feed.priority,
            source=self._source,
        )
        slot.size = len(request.payload)
        self._size += slot.size
        self._usage.bytes += slot.size
        self._waits += request.waits
        self._usage.waits += request.waits
        self._bound()
        feed.intake.put(
            reading,
            partial(self._stored, slot),
            partial(self._acknowledged, slot) if request.waits else None,
            sends_on=len(self._slots) > 1,
        )

    def _refuse_more_waits(self) -> None:
        for count, most, owner in (
            (self._waits, MAX_WAITS, "connection"),
            (self._usage.waits, MAX_USER_WAITS, "user"),
        ):
            if count >= most:
                raise PacketError(
                    packet.BUSY,
                    f"{most} readings of this {owner} are already waiting for AWS.",
                    "Send it again later, or without `wait`.",
                )

    # Out ------------------------------------------------------------------------------------------------------------

    def _stored(self, slot: _Slot, why_not: str | None) -> None:
        self._size -= slot.size
        self._usage.bytes -= slot.size
        if self._usage.held:
            for held in list(self._usage.held):
                held.resume()
        if not self._is_open:
            return
        if why_not:
            error = PacketError(
                packet.NOT_STORED, f"The reading was not stored: {why_not}", "Send it again later."
            )
            slot.answer = answer(slot.name, error)
        else:
            slot.answer = answer(slot.name)
        self._answer()

    def _acknowledged(self, slot: _Slot, why_not: str | None) -> None:
        self._waits -= 1
        self._usage.waits -= 1
        if not self._is_open:
            return
        error = None
        if why_not:
            error = PacketError(
                packet.NEVER_SENT,
                f"AWS will not get the reading: {why_not}",
                "See fleet-agent status.",
            )
        outcome = answer(slot.name, error, "acknowledged")
        if not slot.is_answered:
            slot.outcome = outcome
        else:
            self._outcomes.append(outcome)
            self._answer()

    def _answer(self) -> None:
        """Sends what is due, in order; whether AWS took a reading comes after the answer to its packet."""
        if self._is_stuck:
            return
        slots, outcomes, send = self._slots, self._outcomes, self._client.send
        try:
            while slots and slots[0].answer:
                send(slots[0].answer)
                slot = slots.popleft()
                slot.is_answered = True
                if slot.outcome:
                    outcomes.append(slot.outcome)
            while outcomes:
                send(outcomes[0])
                outcomes.popleft()
        except BlockingIOError:
            self._is_stuck = True
            self._mailbox.unwatch(self._client.fileno())
            self._mailbox.watch(self._client.fileno(), self._unstick, WRITING)
            return
        except OSError:
            self.close()
            return
        if self._is_last and not (slots or self._waits):
            self.close()
        elif self._is_full:
            self._bound()

    def _unstick(self) -> None:
        self._is_stuck = False
        self._is_full = True  # until it is known to be not
        self._mailbox.unwatch(self._client.fileno())
        if self._is_last:
            self._mailbox.watch(self._client.fileno(), self.close, ENDING)
        self._answer()

    def resume(self) -> None:
        """Reads from it again: the user has less outstanding now."""
        self._bound()

    def _bound(self) -> None:
        """Stops reading from a client that has too much open; goes on when half of it is done."""
        if self._is_stuck or self._is_last or not self._is_open:
            return
        share = 2 if self._is_full else 1
        is_full = (
            len(self._slots) * share >= MAX_OPEN
            or self._size * share >= MAX_OPEN_BYTES
            or self._usage.bytes * share >= MAX_USER_BYTES
        )
        if is_full and not self._is_full:
            self._mailbox.unwatch(self._client.fileno())
        elif self._is_full and not is_full:
            self._mailbox.watch(self._client.fileno(), self._read)
        elif not is_full:
            return
        self._is_full = is_full
        if is_full:
            self._usage.held.add(self)
        else:
            self._usage.held.discard(self)


def _makes_room() -> PacketError:
    return PacketError(
        packet.BUSY,
        "No connections are left, and another program needs this one more.",
        "Connect again when there is something to send.",
    )
