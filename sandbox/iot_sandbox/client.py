"""Talks to the route of a running sandbox: sets faults, reads what happened. Standard library only."""

import json
from collections.abc import Iterable
from typing import Any, Literal
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

TIMEOUT_SECONDS = 10.0


class FaultClient:
    """The faults and the calls of one sandbox.

    Args:
        http_url: the ready line's ``http_url``.
    """

    def __init__(self, http_url: str) -> None:
        self._root = f"{http_url}/_sandbox"
        self._opener = build_opener(ProxyHandler({}))  # a proxy cannot reach our loopback

    def add(
        self,
        operation: str,
        kind: str,
        *,
        calls: Literal["every"] | int | Iterable[int] | None = None,
        client_id: str | None = None,
        topic: str | None = None,
        **parameters: object,
    ) -> int:
        """Sets a fault; returns its number.

        Args:
            operation: ``create-keys``, ``create-from-csr``, ``register-thing``, ``connect``, ``subscribe`` or
                ``publish``.
            kind: see the table in ``sandbox/README.md``.
            calls: ``"every"``, one number or several, counted from 1 and from now.
            client_id: shell pattern of the clients concerned.
            topic: shell pattern of the topics or topic filters concerned.
            parameters: those of the kind, for instance ``seconds=2``.

        Raises:
            ValueError: the sandbox does not know such a fault; the text says what it knows.
        """
        numbers = calls if calls is None or isinstance(calls, str | int) else list(calls)
        wanted = {"operation": operation, "kind": kind, "calls": numbers, **parameters}
        answer = self._ask("POST", "faults", {**wanted, "client_id": client_id, "topic": topic})
        return int(answer["number"])

    def remove(self, number: int) -> None:
        """Removes one fault.

        Raises:
            ValueError: it is not set.
        """
        self._ask("DELETE", f"faults/{number}")

    def clear(self) -> None:
        """Removes every fault."""
        self._ask("DELETE", "faults")

    def listed(self) -> list[dict[str, Any]]:
        """Returns the faults that are set, each with how many calls it has ``seen`` and ``hits`` it had."""
        return list(self._ask("GET", "faults")["faults"])

    def calls(self) -> dict[str, Any]:
        """Returns what happened since the start or ``clear_calls``.

        Returns:
            ``operations``: operation to ``requests``, ``accepted``, ``rejected``, ``closed`` counts;
            ``certificates``: every certificate made over MQTT; ``calls``: the last 2000 calls, oldest first.
        """
        return self._ask("GET", "calls")

    def certificates(self) -> list[str]:
        """Returns the ids of the certificates made over MQTT, oldest first."""
        return [made["certificate_id"] for made in self.calls()["certificates"]]

    def clear_calls(self) -> None:
        """Forgets the calls and counts again."""
        self._ask("DELETE", "calls")

    def expire_tokens(self) -> list[str]:
        """Lets every ownership token expire now; returns the ids of the certificates deleted with them."""
        return list(self._ask("POST", "tokens/expire")["certificates_deleted"])

    def _ask(self, method: str, path: str, value: object = None) -> dict[str, Any]:
        body = None if value is None else json.dumps(value).encode()
        request = Request(f"{self._root}/{path}", data=body, method=method)  # noqa: S310  our own
        try:
            with self._opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
                found: dict[str, Any] = json.load(answer)
        except HTTPError as error:
            with error:
                said = json.load(error)
            raise ValueError(said["error"]) from error
        return found
