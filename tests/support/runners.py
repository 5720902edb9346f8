"""A walk over a real store, with a cloud that answers well unless the test has put something else first."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from fleet_agent.clock import BUILT
from fleet_agent.credentials.model import Credential, KeyPair, Secret
from fleet_agent.credentials.store import Store
from fleet_agent.errors import (
    AgentError,
    NotAllowedError,
    UnreachableError,
)
from fleet_agent.process.mailbox import StopRequested, TimeUp
from fleet_agent.provisioning.answers import Certificate
from fleet_agent.provisioning.model import Plan
from fleet_agent.provisioning.proof import Proven
from fleet_agent.provisioning.runner import Provisioned, Runner
from support.certificates import END_OF_TIME, make_certificate
from support.clock import FakeClock
from support.csr import key_pem, make_key
from support.needs import Steps, needs
from support.provisioning import make_plan

KEY = make_key()


CLAIM = KeyPair(
    certificate=make_certificate(KEY, valid_to=END_OF_TIME),
    private_key=Secret(key_pem(KEY).decode()),
    certificate_file="claim.crt",
    private_key_file="claim.key",
)


NOW = BUILT + 86_400.0


ID = "ab12" * 16


class Session:
    """One that stays open until somebody closes it."""

    is_closed = False

    def close(self) -> None:
        self.is_closed = True


class Cloud:
    """Answers well, unless the test has put something else first."""

    is_open = False

    def __init__(self, bench: "Bench") -> None:
        self.bench = bench
        self.thing: str | None = "pump-7"
        self.configuration: dict[str, str] = {"site": "north"}
        self.asked: list[tuple[str, object]] = []
        self.happens: dict[str, list[Exception]] = {}
        self.opened = self.closed = 0
        self.pem: str | None = None
        self.refused: NotAllowedError | None = None

    def first(self, name: str, detail: object) -> None:
        self.asked.append((name, detail))
        if self.happens.get(name):
            raise self.happens[name].pop(0)

    def start(self) -> None:
        self.opened += 1

    def wait_open(self) -> None:
        self.is_open = True

    def close(self) -> None:
        self.is_open = False
        self.closed += 1

    def create_certificate(self, csr: str | None) -> Certificate:
        self.first("create", csr)
        self.bench.clock.go(1.0)
        key = make_key() if csr is None else None
        public = (
            key.public_key() if key else x509.load_pem_x509_csr((csr or "").encode()).public_key()
        )
        pem = make_certificate(KEY, valid_to=END_OF_TIME, public_key=public)
        private = Secret(key_pem(key).decode()) if key else None
        return Certificate(
            certificate_id=ID,
            pem=self.pem or pem,
            ownership_token=Secret("owner"),
            private_key=private,
        )

    def register_thing(
        self, token: Secret, parameters: Mapping[str, str]
    ) -> tuple[str | None, dict[str, str]]:
        self.first("register", (token.reveal(), dict(parameters)))
        return self.thing, self.configuration

    def prove(self, credential: Credential, pair: KeyPair, waiting: Callable[..., None]) -> Proven:
        self.waiting = waiting
        self.first("prove", (credential.certificate_id, pair.certificate_file))
        self.bench.session = Session()
        return Proven(session=self.bench.session, how="a session", refused=self.refused)  # type: ignore[arg-type]


class Bench:
    def __init__(self, folder: Path, plan: Plan | None = None, **more: Any) -> None:
        self.folder = folder
        self.clock = FakeClock(NOW)
        self.clock.synchronised = True
        self.report = Steps()
        self.cloud = Cloud(self)
        self.plan = plan or make_plan("csr")
        self.session: Session | None = None
        self.slept: list[float] = []
        self.patience = 20
        self.meanwhile: Callable[[], None] = lambda: None
        self.more = more

    @property
    def store(self) -> Store:
        return Store(self.folder, self.clock)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.go(seconds)
        self.meanwhile()
        if len(self.slept) > self.patience:
            raise TimeUp

    def runner(self) -> Runner:
        given: dict[str, Any] = {
            "sleep": self.sleep,
            "read_pair": lambda: CLAIM,
            "make_api": lambda _pair: self.cloud,
            "prove": self.cloud.prove,
            **self.more,
        }
        return Runner(self.plan, needs(self.store, self.clock, self.report, **given))

    def provision(self, *, restart: bool = False) -> Provisioned:
        return self.runner().provision(restart=restart)

    def fails(self, kind: type[AgentError], *, restart: bool = False) -> AgentError:
        with pytest.raises(kind) as caught:
            self.provision(restart=restart)
        return caught.value

    def gets_to(self, name: str) -> None:
        """Is stopped just when this is asked for."""
        self.cloud.happens[name] = [StopRequested()]
        with pytest.raises(StopRequested):
            self.provision()

    @property
    def asked(self) -> list[str]:
        return [name for name, _ in self.cloud.asked]

    @property
    def ledger(self) -> dict[str, str]:
        return self.store.ledger.latest()


def lost(code: str = "answer-missing") -> UnreachableError:
    return UnreachableError("No answer.", remedy="Wait.", code=code)
