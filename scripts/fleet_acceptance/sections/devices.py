"""Devices in every way: provisioned, rotated, adopted, refused and let back in, many at once."""

import shutil
import subprocess
import time
from pathlib import Path

from fleet_acceptance.context import Run
from fleet_acceptance.device import keys
from fleet_acceptance.device.agents import Agent, until
from fleet_acceptance.errors import AcceptanceError

# The log of the hook's function reaches CloudWatch some seconds later.
_LOG_SECONDS = 180.0
_JOB_SECONDS = 180.0
_MANY_SECONDS = 1800.0
_REFUSED_BY_AWS = 77


def device(run: Run, serial: str, *flags: str, config: Path | None = None) -> Agent:
    """Gives a device of the fleet, that is not there yet."""
    config = config or run.image / "config.yaml"
    return Agent(run.path / "devices" / serial, config, serial, flags)


def provision(run: Run) -> None:
    """A first boot in every way there is."""
    for way, flags in (
        ("csr", ()),
        ("keys", ("--method", "keys")),
        ("rsa", ("--key-type", "rsa-2048")),
    ):
        with run.step(f"a device provisions itself: {way}"):
            _check(run, device(run, f"by-{way}", *flags).provision(), f"by-{way}")
    with run.step("a device provisions itself: its own request, made with openssl"):
        agent = device(run, "by-openssl")
        key, request = agent.folder / "own.key", agent.folder / "own.csr"
        curve = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
        for words in (
            ["genpkey", *curve, "-out", str(key)],
            ["req", "-new", "-key", str(key), "-subj", "/CN=own", "-out", str(request)],
        ):
            subprocess.run(["openssl", *words], capture_output=True, check=True)
        _check(run, agent.provision("--csr", request, "--csr-key", key), "by-openssl")
    with run.step("a claim that ends in five minutes"):
        folder, ca_file = run.path / "bench-claim", run.cloud.where.ca_file
        run.fleet_cloud(
            "claim", "temporary", "--out", folder, *(("--ca-file", ca_file) if ca_file else ())
        )
        agent = device(run, "by-person", config=folder / "config.yaml")
        _check(run, agent.provision(), "by-person")
    with run.step("a device runs, and its readings are acknowledged"):
        agent = device(run, "by-csr")
        with agent.running():
            until(agent.publishes, "an acknowledged reading")
    with run.step("fleet-cloud devices list names them all"):
        listed = {each["thing"] for each in run.fleet_cloud("devices", "list")["devices"]}
        ways = ("csr", "keys", "rsa", "openssl", "person")
        if missing := {f"{run.id}-by-{way}" for way in ways} - listed:
            raise AcceptanceError(f"not listed: {', '.join(sorted(missing))}")


def _check(run: Run, answer: object, serial: str) -> None:
    """Checks what provision answered."""
    found = answer if isinstance(answer, dict) else {}
    if found.get("thing_name") != f"{run.id}-{serial}" or not found.get("proven"):
        raise AcceptanceError(f"provision answered {run.redactor.of(found)}")


def rotate(run: Run) -> None:
    """New keys and certificates: by hand, and by a job."""
    agent = device(run, "rotates")
    with run.step("fleet-agent rotate: another certificate, the same thing"):
        before = agent.provision()["certificate_id"]
        agent.call("rotate", "--force", "--template-parameters", agent.parameters)
        found = agent.status()
        if found["certificate_id"] == before or found["thing_name"] != f"{run.id}-rotates":
            raise AcceptanceError("the identity did not change as it should")
    with run.step("a job orders a rotation, and the device reports it"), agent.running():
        until(agent.publishes, "the device's session")
        run.fleet_cloud("rotate", "start", "--thing", f"{run.id}-rotates")

        def has_succeeded() -> bool:
            # A job that failed ends with another status, and so the step.
            return bool(run.fleet_cloud("rotate", "status")["counts"].get("SUCCEEDED"))

        until(has_succeeded, "the job's success", _JOB_SECONDS)
    with run.step("fleet-cloud rotate status --retire: what was replaced goes"):
        found = run.fleet_cloud("rotate", "status", "--retire", "--yes")["retired"]
        if not found or not all(each["retired"] for each in found):
            raise AcceptanceError(f"retired: {run.redactor.of(found)}")


def adopt(run: Run) -> None:
    """A certificate that the device has already."""
    with run.step("fleet-agent adopt: a certificate of the factory becomes the identity"):
        iot, thing = run.cloud.iot, f"{run.id}-adopted"
        agent = device(run, "adopted")
        key = keys.make(agent.folder, "factory", thing)
        made = iot.create_certificate_from_csr(
            certificateSigningRequest=key.request, setAsActive=True
        )
        run.folder.add(made["certificateId"])
        iot.create_thing(thingName=thing)
        iot.attach_thing_principal(thingName=thing, principal=made["certificateArn"])
        iot.attach_policy(policyName=f"{run.id}-device", target=made["certificateArn"])
        files = key.identity(made["certificatePem"])
        words = ("--cert", files.certificate, "--key", files.key, "--thing-name", thing)
        agent.call("adopt", *words, "--allow-volatile")
        if agent.status().get("thing_name") != thing:
            raise AcceptanceError("the device is not the thing that it adopted")


def hook(run: Run) -> None:
    """A device with another key is refused, is seen waiting, and is let in by an operator."""
    thing = f"{run.id}-back"
    with run.step("another device with the serial number of one in service is refused"):
        device(run, "back").provision()
        second = Agent(run.path / "devices/back-again", run.image / "config.yaml", "back")
        second.provision(statuses=(_REFUSED_BY_AWS,))
    with run.step("fleet-cloud devices waiting names it"):
        until(lambda: _is_waiting(run, thing), "the refusal in the hook's log", _LOG_SECONDS)
    with run.step("fleet-cloud devices allow lets it in"):
        run.fleet_cloud("devices", "allow", thing, "--any-key", "--for", "10m")
        second.provision()


def _is_waiting(run: Run, thing: str) -> bool:
    found = run.fleet_cloud("devices", "waiting", "--since", "1h")
    return thing in str(found)


def policies(run: Run) -> None:
    """What claim and device are allowed and refused."""
    with run.step("fleet-cloud verify: everything ends as it should, takeovers too"):
        ca_file = run.cloud.where.ca_file
        run.fleet_cloud("verify", *(("--ca-file", ca_file) if ca_file else ()))


def many(run: Run) -> None:
    """Devices that are switched on together."""
    count = run.devices
    devices = [device(run, f"n{number:03d}") for number in range(count)]
    with run.step(f"{count} devices are switched on at once, and each gets its identity"):
        began = time.monotonic()
        try:
            for item in devices:
                item.start()
            until(
                lambda: all(each.is_provisioned for each in devices),
                "an identity for each",
                _MANY_SECONDS,
            )
            run.result.figures[f"seconds until {count} devices have their identity"] = round(
                time.monotonic() - began, 1
            )
            waiting = list(devices)

            def all_publish() -> bool:
                waiting[:] = [each for each in waiting if not each.publishes()]
                return not waiting

            until(all_publish, "a reading of each", _MANY_SECONDS)
        finally:
            for each in devices:
                if each.process is not None and each.process.poll() is None:
                    each.process.terminate()
            for each in devices:
                each.stop()


def recover(run: Run) -> None:
    """A device whose certificate is switched off comes back by itself."""
    folder = run.path / "recovering"
    shutil.copytree(run.image, folder)
    drop_in = folder / "config.d/recovery.yaml"
    # A refusal by an account may be of its load: so much in a row is none.
    after = 5 if run.result.against == "account" else 1
    drop_in.write_text(f"identity: {{dead_after: {after}s}}\n")
    agent = device(run, "recovers", config=folder / "config.yaml")
    with run.step("a device whose certificate is revoked gets another by its claim"):
        before = agent.provision()["certificate_id"]
        # A session that is open may live on for minutes: this one is opened afterwards.
        run.cloud.iot.update_certificate(certificateId=before, newStatus="REVOKED")
        with agent.running():
            until(
                lambda: agent.shown.get("certificate_id") not in (None, before),
                "another certificate",
                900.0,
            )
            until(agent.publishes, "a reading under the new certificate")
    with run.step("it is the same thing, with the same key"):
        found = agent.status()
        if found["thing_name"] != f"{run.id}-recovers":
            raise AcceptanceError(f"it is another thing: {found['thing_name']}")
        pems = [
            run.cloud.iot.describe_certificate(certificateId=each)["certificateDescription"]
            for each in (before, str(found["certificate_id"]))
        ]
        if len({keys.public_part(pem["certificatePem"]) for pem in pems}) != 1:
            raise AcceptanceError("it has another key")
