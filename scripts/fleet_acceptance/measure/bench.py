"""What experiments work with: a claim of their own, templates, certificates, and a function as hook."""

import contextlib
import functools
import io
import json
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fleet_acceptance.account import removal, tags
from fleet_acceptance.context import Run
from fleet_acceptance.device import keys
from fleet_acceptance.device.keys import Key
from fleet_acceptance.device.mqtt import Identity, RefusedError, Reply, Session
from fleet_acceptance.errors import NotMeasuredError
from fleet_acceptance.measure import hook

CREATE_KEYS = "$aws/certificates/create/json"
CREATE_FROM_CSR = "$aws/certificates/create-from-csr/json"
_RUNTIME = "python3.12"
_SPREAD_SECONDS = 60.0
# AWS takes one connect a second of a client id.
_BETWEEN_CONNECTS = 1.1
# AWS waits for five seconds or so; an answer that takes longer is no answer.
_HOOK_ANSWER_SECONDS = 30.0

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Issued:
    """A certificate that AWS made over a key of ours, and what it is registered with."""

    identity: Identity
    certificate_id: str
    certificate_pem: str
    token: str = field(repr=False)


class Bench:
    """Makes them; all bear the run's name and tags."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.iot = run.cloud.iot
        self._claim: Identity | None = None
        self._hook: str | None = None
        self._templates: dict[str, str] = {}

    # Policies and certificates ---------------------------------------------------------------------------------------

    def policy(self, name: str, *statements: tuple[str, str]) -> str:
        """Makes a policy of actions and resources; gives its name."""
        found = [
            {
                "Effect": "Allow",
                "Action": f"iot:{action}",
                "Resource": self.run.cloud.arn(resource),
            }
            for action, resource in statements
        ]
        named = f"{self.run.id}-{name}"
        self.iot.create_policy(
            policyName=named,
            policyDocument=json.dumps({"Version": "2012-10-17", "Statement": found}),
            tags=tags.mine(self.run.id),
        )
        return named

    def identity(self, name: str, *policies: str) -> tuple[Identity, str]:
        """Makes an active certificate with these policies; gives it and its id."""
        key = self.key(name)
        made = self.iot.create_certificate_from_csr(
            certificateSigningRequest=key.request, setAsActive=True
        )
        self.run.folder.add(made["certificateId"])
        for policy in policies:
            self.iot.attach_policy(policyName=policy, target=made["certificateArn"])
        return key.identity(made["certificatePem"]), str(made["certificateId"])

    def key(self, name: str) -> Key:
        """Makes a key and a request with the run's name as subject."""
        folder = self.run.path / "bench"
        folder.mkdir(mode=0o700, exist_ok=True)
        return keys.make(folder, f"{name}-{self.run.number()}", f"{self.run.id} {name}")

    @property
    def claim(self) -> Identity:
        """A claim for every template of the run."""
        if self._claim is None:
            policy = self.policy("bench-claim", *self.claim_statements())
            self._claim, _ = self.identity("claim", policy)
            self.until_it_connects(self._claim, self.client_id())
        return self._claim

    def claim_statements(self, *, receive: bool = True) -> list[tuple[str, str]]:
        """Gives what a claim may do, with or without hearing an answer."""
        topics = (
            "$aws/certificates/create/*",
            "$aws/certificates/create-from-csr/*",
            f"$aws/provisioning-templates/{self.run.id}*/provision/*",
        )
        actions = ["Publish", *(["Receive"] if receive else [])]
        return [
            ("Connect", f"client/{self.run.id}*"),
            *((action, f"topic/{topic}") for action in actions for topic in topics),
            *(("Subscribe", f"topicfilter/{topic}") for topic in topics),
        ]

    def until_it_connects(self, identity: Identity, client_id: str) -> None:
        """Waits until a new certificate's policy is known everywhere; what comes then says more, if it is not."""
        until = time.monotonic() + _SPREAD_SECONDS
        while time.monotonic() < until:
            with contextlib.suppress(RefusedError), Session(self.run.server, identity, client_id):
                return
            time.sleep(_BETWEEN_CONNECTS)

    def claim_session(self) -> Session:
        """Gives a connection of the claim, to be opened."""
        return Session(self.run.server, self.claim, self.client_id())

    def client_id(self) -> str:
        """Gives a client id that no other connection has."""
        return f"{self.run.id}-bench-{self.run.number()}"

    # Provisioning ----------------------------------------------------------------------------------------------------

    def issue(self, session: Session) -> Issued:
        """Asks for a certificate over a new key.

        Raises:
            NotMeasuredError: there was none.
        """
        key = self.key("device")
        reply = session.ask(CREATE_FROM_CSR, {"certificateSigningRequest": key.request})
        return self.issued(key, reply)

    def issued(self, key: Key, reply: Reply | None) -> Issued:
        """Reads the answer to a request for a certificate; it is recorded first of all."""
        if reply is None or reply.suffix != "accepted":
            raise NotMeasuredError(f"no certificate: {reply.answer if reply else 'no answer'}")
        self.learn(reply.document)
        pem = str(reply.document["certificatePem"])
        token = str(reply.document["certificateOwnershipToken"])
        return Issued(key.identity(pem), str(reply.document["certificateId"]), pem, token)

    def learn(self, document: Document) -> None:
        """Records the certificate of an answer, and remembers its secrets."""
        if "certificateId" in document:
            self.run.folder.add(str(document["certificateId"]))
        for name in ("certificateOwnershipToken", "privateKey"):
            self.run.redactor.learn(str(document.get(name, "")))

    def register(
        self, session: Session, template: str, token: str, **parameters: str
    ) -> Reply | None:
        """Registers with a template of the run."""
        topic = f"$aws/provisioning-templates/{template}/provision/json"
        request = {"certificateOwnershipToken": token, "parameters": parameters}
        return session.ask(topic, request, seconds=_HOOK_ANSWER_SECONDS)

    def thing(self, serial: str) -> str:
        """Gives the name of the thing that a serial number becomes."""
        return f"{self.run.id}-{serial}"

    # Templates and the hook ------------------------------------------------------------------------------------------

    def template(
        self,
        name: str,
        *,
        enabled: bool = True,
        hook: bool = False,
        **changes: Any,  # noqa: ANN401
    ) -> str:
        """Makes a template, once; ``changes`` are those of ``body``."""
        if name not in self._templates:
            named = f"{self.run.id}-{name}"
            hooked = {"preProvisioningHook": {"targetArn": self.hook}} if hook else {}
            role = self.run.cloud.arn(f"role/{self.run.id}-provisioning", "iam")
            make = functools.partial(
                self.iot.create_provisioning_template,
                templateName=named,
                templateBody=json.dumps(body(self.run.id, **changes)),
                provisioningRoleArn=role,
                enabled=enabled,
                tags=tags.mine(self.run.id),
                **hooked,
            )
            # Neither a role nor the right to call a function is known everywhere at once.
            removal.eventually(make, "InvalidRequestException")
            self._templates[name] = named
        return self._templates[name]

    @property
    def hook(self) -> str:
        """The ARN of the function that does what its caller says."""
        if self._hook is None:
            functions, name = self.run.cloud.client("lambda"), f"{self.run.id}-bench-hook"
            self.iot.create_thing(thingName=self.counter)
            make = functools.partial(self._make_function, functions, name)
            removal.eventually(make, "InvalidParameterValueException")
            functions.get_waiter("function_active_v2").wait(FunctionName=name)
            functions.add_permission(
                FunctionName=name,
                StatementId="iot",
                Action="lambda:InvokeFunction",
                Principal="iot.amazonaws.com",
                SourceAccount=self.run.cloud.account,
            )
            self._hook = self.run.cloud.arn(f"function:{name}", "lambda")
        return self._hook

    @property
    def counter(self) -> str:
        """The thing in whose attribute the hook counts."""
        return f"{self.run.id}-counter"

    def _make_function(self, functions: Any, name: str) -> None:  # noqa: ANN401  botocore makes its classes
        functions.create_function(
            FunctionName=name,
            Runtime=_RUNTIME,
            # The role of the fleet's hook may look at things and certificates, and change things.
            Role=self.run.cloud.arn(f"role/{self.run.id}-hook", "iam"),
            Handler="hook.handler",
            Timeout=hook.SLEEP_SECONDS + 6,
            MemorySize=512,
            Environment={"Variables": {"COUNTER": self.counter}},
            Code={"ZipFile": _zipped(Path(hook.__file__))},
            Tags={tags.TAG: self.run.id},
        )


def body(
    run: str,
    *,
    overrides: Mapping[str, str] | None = None,
    policy: str | None = None,
    declares: bool = True,
    looks: bool = False,
    exclusive: bool = False,
) -> Document:
    """Gives a template's body: as plain as can be.

    Args:
        run: whose; begins the thing's name.
        overrides: of the thing, where something is to be said.
        policy: its name, where it is not the fleet's.
        declares: whether it declares its parameters.
        looks: whether what the hook has seen becomes an attribute.
        exclusive: whether the certificate is the thing's alone.
    """
    default = {"Type": "String", "Default": "red"}
    parameters = {"SerialNumber": {"Type": "String"}, "Colour": default}
    attributes = {"colour": {"Ref": "Colour"}, **({"seen": {"Ref": "Seen"}} if looks else {})}
    if looks:
        parameters["Seen"] = {"Type": "String"}
    thing: dict[str, Any] = {
        "Type": "AWS::IoT::Thing",
        "Properties": {
            "ThingName": {"Fn::Join": ["-", [run, {"Ref": "SerialNumber"}]]},
            "AttributePayload": attributes,
        },
    }
    if overrides is not None:
        thing["OverrideSettings"] = dict(overrides)
    certificate = {
        "CertificateId": {"Ref": "AWS::IoT::Certificate::Id"},
        "Status": "Active",
        **({"ThingPrincipalType": "EXCLUSIVE_THING"} if exclusive else {}),
    }
    return {
        **({"Parameters": parameters} if declares else {}),
        "Resources": {
            "thing": thing,
            "certificate": {"Type": "AWS::IoT::Certificate", "Properties": certificate},
            "policy": {
                "Type": "AWS::IoT::Policy",
                "Properties": {"PolicyName": policy or f"{run}-device"},
            },
        },
    }


def moment(tries: list[str], seconds: float) -> str:
    """Gives how long something took, in words that the next run gives, too."""
    if not tries:
        return "at once"
    for limit, words in ((10.0, "within 10 s"), (60.0, "within a minute")):
        if seconds <= limit:
            return words
    return "later than a minute"


def _zipped(path: Path) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        entry = zipfile.ZipInfo(path.name, (1980, 1, 1, 0, 0, 0))
        entry.external_attr = 0o644 << 16
        archive.writestr(entry, path.read_text())
    return made.getvalue()
