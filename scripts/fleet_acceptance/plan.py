"""The sections in their order, with what each makes and costs: what the command says before it asks."""

from collections.abc import Callable
from dataclasses import dataclass

from botocore.exceptions import BotoCoreError, ClientError

from fleet_acceptance.context import Run
from fleet_acceptance.measure import (
    credentials,
    hooks,
    hour,
    jobs,
    orders,
    own_ca,
    requests,
    sessions,
    templates,
    throttling,
)
from fleet_acceptance.measure.bench import Bench
from fleet_acceptance.sections import credentials as vending
from fleet_acceptance.sections import devices, flows, steering

# List prices of us-east-1 in dollars, rounded up: a call of the registry, a message or MQTT packet that is metered,
# anything else (Lambda, S3, SNS, SQS, logs). Other regions cost up to twice as much.
_CALL, _MESSAGE, _OTHER = 1.25e-6, 1.00e-6, 6e-6
_WORST_REGION = 2.0
# Short for all sections of experiments that nobody has to ask for.
MEASURE = "measure"


@dataclass(frozen=True)
class Section:
    """One section.

    Attributes:
        name: as ``--only`` has it.
        makes: what it makes in the account, for people.
        calls: of AWS's APIs, roughly.
        messages: over MQTT, roughly.
        others: of Lambda, S3, SNS, SQS, roughly.
        run: does it.
        per_device: whether the counts are those of one device of many.
        warning: why it runs only where it is asked for.
    """

    name: str
    makes: str
    calls: int
    messages: int
    others: int
    run: Callable[[Run], None]
    per_device: bool = False
    warning: str = ""


def quotas(run: Run) -> None:
    """Keeps the account's quotas of AWS IoT Core, where AWS gives them."""
    try:
        pages = run.cloud.client("service-quotas").get_paginator("list_service_quotas")
        found = [
            quota
            for code in ("iotcore", "iot")
            for page in pages.paginate(ServiceCode=code)
            for quota in page["Quotas"]
        ]
    except (ClientError, BotoCoreError) as error:
        run.result.figures["quotas"] = f"not given: {type(error).__name__}"
        return
    run.result.figures["quotas"] = {
        f"{quota['QuotaCode']} {quota['QuotaName']}": quota["Value"] for quota in found
    }


def _by(measure: Callable[[Bench], None]) -> Callable[[Run], None]:
    """Gives a section of experiments; all of them have one bench."""
    return lambda run: measure(run.once(Bench))


def _requests(run: Run) -> None:
    if run.result.against == "account":  # a sandbox has none, and takes its time to say so
        quotas(run)
    requests.measure(run.once(Bench))


SECTIONS = (
    Section("provision", "5 things with a certificate each", 90, 70, 10, devices.provision),
    Section("rotation", "a thing with three certificates, a job", 60, 40, 5, devices.rotate),
    Section("adoption", "a thing with a certificate", 10, 5, 0, devices.adopt),
    Section("recovery", "a thing with two certificates", 30, 30, 5, devices.recover),
    Section("hook", "a thing with two certificates", 40, 30, 10, devices.hook),
    Section("policies", "a claim, two things, ten certificates", 140, 120, 20, devices.policies),
    Section("credentials", "a role, a role alias, a thing with a certificate", 40, 10, 5, vending.credentials),
    Section("orders", "a thing with a certificate, a command, a job", 40, 30, 5, steering.order),
    Section("steering", "a thing with a certificate", 40, 15, 5, steering.steer),
    Section("flow-bulk", "3 things, a thing type, a policy, a role, a bucket", 70, 20, 10, flows.bulk),
    Section("flow-by-hand", "an IAM user, a thing, a policy, a certificate", 25, 5, 0, flows.by_hand),
    Section("flow-rule", "a rule, a role, an SNS topic, an SQS queue", 25, 5, 40, flows.rule),
    Section("flow-things", "thing_0, thing_1 with policies", 40, 10, 0, flows.things),
    Section("measure-requests", "2 things, 15 certificates, a template, 2 policies", 100, 200, 0, _requests),
    Section("measure-templates", "20 things with certificates, 10 templates", 150, 130, 0, _by(templates.measure)),
    Section("measure-hook", "6 things, 8 certificates, 2 templates, a function", 60, 60, 20, _by(hooks.measure)),
    Section("measure-jobs", "a thing with a certificate, 2 jobs", 20, 25, 0, _by(jobs.measure)),
    Section("measure-orders", "a thing with a certificate, a command", 30, 25, 0, _by(orders.measure)),
    Section("measure-credentials", "2 things, a role, 3 role aliases", 30, 0, 0, _by(credentials.measure)),
    Section("measure-own-ca", "a CA, a thing, 2 certificates", 30, 10, 0, _by(own_ca.measure)),
    # Sessions come last: the end of one, by a certificate that is switched off, is waited for for minutes.
    Section("measure-sessions", "a thing with a certificate", 40, 30, 0, _by(sessions.measure)),
    Section("many", "a thing with a certificate for each device", 12, 20, 2, devices.many, per_device=True),
    Section("measure-throttling", "20 certificates", 20, 70, 0, _by(throttling.measure),
            warning="takes the account's quota for a second, which its other devices share"),
    Section("measure-hour", "a certificate", 15, 15, 0, _by(hour.measure), warning="takes an hour"),
)  # fmt: skip
# What set-up and removal cost, with two listings of the account.
_AROUND_CALLS, _AROUND_OTHERS = 140, 10


def chosen(only: list[str]) -> tuple[Section, ...]:
    """Gives the sections that were asked for; where none was, all but those that have to be asked for."""
    usual = tuple(section for section in SECTIONS if not section.warning)
    if not only:
        return usual
    measures = [each.name for each in usual if each.name.startswith(f"{MEASURE}-")]
    wanted = {name for each in only for name in (measures if each == MEASURE else [each])}
    return tuple(section for section in SECTIONS if section.name in wanted)


def costs(sections: tuple[Section, ...], devices: int) -> tuple[int, int, float]:
    """Gives calls and messages, and dollars at most."""
    calls, messages, others = _AROUND_CALLS, 0, _AROUND_OTHERS
    for section in sections:
        times = devices if section.per_device else 1
        calls += section.calls * times
        messages += section.messages * times
        others += section.others * times
    dollars = (calls * _CALL + messages * _MESSAGE + others * _OTHER) * _WORST_REGION
    return calls + others, messages, dollars
