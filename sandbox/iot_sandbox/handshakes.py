"""What a handshake looks up among the certificates, without reading all of them.

ministack takes every certificate for an anchor of trust, and reads all of them in every handshake to find the one that
was shown: with ten thousand devices the first handshake took a minute, and each further one tens of milliseconds.
"""

from collections.abc import Callable

from iot_sandbox import ground

Anchor = tuple[str, str]  # an id, and the certificate in PEM
Registration = tuple[str, str, ground.Record]  # account id, region


class KnownCertificates:
    """Keeps what it has seen of the registry: a handshake looks at what is new."""

    def __init__(self) -> None:
        self._ca = ""
        self._forget()

    def _forget(self) -> None:
        self._newest: ground.Key | None = None
        self._count = 0
        self._scopes: set[tuple[str, str]] = set()
        self._foreign: dict[str, str] = {}

    def anchors(self, _was: Callable[[], list[Anchor]]) -> Callable[[], list[Anchor]]:
        """Answers in the place of ministack: the sandbox's CA, other CAs, and the certificates that it did not sign."""

        def listed() -> list[Anchor]:
            self._look()
            others = ground.every_scope(ground.registered_cas).values()
            cas = [(record["certificateId"], record["certificatePem"]) for record in others]
            return [(ground.get_certificate_id(self._ca), self._ca), *cas, *self._foreign.items()]

        return listed

    def registrations(
        self, _was: Callable[..., list[Registration]]
    ) -> Callable[..., list[Registration]]:
        """Answers in the place of ministack: in which accounts and regions a certificate has a status, or any."""

        def found(identifier: str, status: str | None = "ACTIVE") -> list[Registration]:
            self._look()
            registry = ground.every_scope(ground.certificates)
            there = [(*scope, registry.get((*scope, identifier))) for scope in self._scopes]
            return [
                (account, region, record)
                for account, region, record in there
                if record is not None and status in {None, record.get("status")}
            ]

        return found

    def _look(self) -> None:
        if (ca := ground.ca_pem()) != self._ca:
            self._forget()
            self._ca = ca
        registry = ground.every_scope(ground.certificates)
        new = self._new(registry)
        # If records were removed meanwhile, new ones cannot be found by their position.
        if len(registry) != self._count + len(new):
            new = [*registry]
        for key in new:
            self._scopes.add(key[:2])
            pem = registry[key]["certificatePem"]
            if not _is_signed_by(pem, self._ca):
                self._foreign[key[2]] = pem
        self._count = len(registry)
        self._newest = next(reversed(registry), None)

    def _new(self, registry: dict[ground.Key, ground.Record]) -> list[ground.Key]:
        """Returns what was added since the last look: the last ones."""
        found = []
        for key in reversed(registry):
            if key == self._newest:
                break
            found.append(key)
        return found


def _is_signed_by(pem: str, ca: str) -> bool:
    try:
        return bool(ground.is_signed_by(pem, ca))
    except AttributeError:
        # cryptography before 40 (Debian 12's) cannot tell: then each is its own anchor, as for ministack.
        return False
