"""The values in the credential store. Pure: no file, no clock, no cryptography."""

import enum
from collections.abc import Mapping
from typing import Literal

from fleet_agent.clock import Uptime
from fleet_agent.record import record


class Secret:
    """Text that must not be shown: its repr and str hide it, ``reveal`` returns it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return "Secret(…)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def reveal(self) -> str:
        """The text itself."""
        return self._text


@record
class HardwareToken:
    """A hardware token (PKCS#11): the module that knows it, its label, and the file of its PIN.

    ``pin_file`` is a path or ``credential:NAME``; ``state_dir`` is where a refused PIN is remembered.
    """

    module: str
    label: str
    pin_file: str
    state_dir: str


@record
class HardwareKey:
    """A private key in a hardware token, by its label.

    ``is_ours``: the agent made it, and destroys it when it is replaced.
    """

    token: HardwareToken
    label: str
    is_ours: bool = False

    @property
    def name(self) -> "KeyName":
        """The part of it that is stored on disk."""
        return KeyName(token=self.token.label, label=self.label, is_ours=self.is_ours)

    def __str__(self) -> str:
        return str(self.name)


@record
class KeyName:
    """Which key of which hardware token a generation has, by their labels: what is kept of it on disk.

    Where the hardware token's module and PIN are stands in the configuration alone, so that whoever may write the state
    directory cannot have a library loaded.
    """

    token: str
    label: str
    is_ours: bool

    def __str__(self) -> str:
        from fleet_agent.config import pkcs11_uri

        return pkcs11_uri.write({"token": self.token, "object": self.label, "type": "private"})


PrivateKey = Secret | HardwareKey

# How an identity began: by a claim (or a rotation), or with a certificate and key that the device had.
Origin = Literal["claim", "adopted"]


@record
class KeyPair:
    """A certificate (PEM) with its private key (PEM, or in a hardware token), and the files they came from."""

    certificate: str
    private_key: PrivateKey
    certificate_file: str
    private_key_file: str


@record
class Csr:
    """A certificate signing request: its PEM text, its hash (SHA-256, hex), its public key (DER)."""

    pem: str
    hash: str
    public_key: bytes


@record
class Home:
    """Where a device was moved: the destination, and what it takes besides endpoint and template to connect there."""

    name: str
    port: int
    ca_file: str | None


@record
class Attempt:
    """The purpose of a generation, and its number of tries.

    ``parameters_hash`` and ``csr_hash`` are SHA-256 in hex; ``not_before`` and ``opened`` are Unix seconds.
    ``certificate_id`` is that of the given certificate where it was adopted, which needs no template. ``key_of`` is the
    generation whose key it asks with, to be known by it; None: a key of its own.
    """

    endpoint: str
    template: str
    method: str
    parameters_hash: str
    csr_hash: str | None
    tries: int
    not_before: float
    opened: float
    origin: Origin = "claim"
    certificate_id: str | None = None
    home: Home | None = None
    key_of: int | None = None


@record
class Issued:
    """A certificate that AWS made for this generation; ``ownership_token`` is gone once proven.

    ``received``: Unix seconds; ``uptime``: the same by a clock that does not step.
    """

    certificate_id: str
    ownership_token: Secret | None
    received: float
    uptime: Uptime | None = None


@record
class Registration:
    """What RegisterThing answered; both parts may be missing (PROTOCOL: templates need no Thing)."""

    thing_name: str | None
    device_configuration: Mapping[str, str]


@record
class Generation:
    """One numbered folder, as it was found on disk; ``proven`` when (Unix seconds), by ``uptime`` too."""

    number: int
    attempt: Attempt
    has_key: bool = False
    issued: Issued | None = None
    registration: Registration | None = None
    proven: float | None = None
    uptime: Uptime | None = None


@record
class Credential:
    """A registered generation, ready to connect with; ``Store.current`` has checked that its files exist.

    ``private_key_file`` is None only for a generation whose key is kept elsewhere. ``uptime``: of ``proven``.
    """

    generation: int
    certificate_id: str
    certificate_file: str
    private_key_file: str | None
    thing_name: str | None
    device_configuration: Mapping[str, str]
    endpoint: str
    template: str
    is_proven: bool
    proven: float | None
    origin: Origin = "claim"
    uptime: Uptime | None = None
    home: Home | None = None

    @property
    def client_id(self) -> str:
        """The MQTT client id to connect with: the thing's name, or the certificate's id where there is no thing."""
        return self.thing_name or self.certificate_id

    @property
    def topic_values(self) -> Mapping[str, str]:
        """The values of placeholders in topics, by name."""
        return {
            **self.device_configuration,
            "thing": self.client_id,
            "certificate_id": self.certificate_id,
        }


class Event(enum.Enum):
    """What the ledger records of a certificate."""

    ISSUED = "issued"  # the answer arrived; not registered yet: expires within the hour by itself
    # An answer arrived with one for another key, or with parts missing; never used.
    FOREIGN = "foreign"
    ADOPTED = "adopted"  # given, and to be proven; another agent may use it still
    REGISTERED = "registered"  # RegisterThing accepted: ACTIVE
    UNRESOLVED = "unresolved"  # its ownership token was refused: active or expired, which only the cloud knows
    CURRENT = "current"  # proven, and what the device uses
    RETIRED = "retired"  # replaced by a newer one
    # Its attempt was given up: by --restart, or because it is for another thing.
    DROPPED = "dropped"
