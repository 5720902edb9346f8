"""AWS credentials for programs: the users in the configuration, and what AWS IoT answers for each role alias."""

from fleet_agent.doctor.device import Device
from fleet_agent.doctor.finding import Findings, Subject
from fleet_agent.errors import AgentError
from fleet_agent.identity.configured import in_service, open_store
from fleet_agent.local_clients import users

_ABOUT = Subject("AWS credentials")
_LIMIT = 20.0  # seconds for each


def check_users(device: Device) -> Findings:
    """Checks that the users on the allow-lists exist."""
    wanted = device.settings.credentials if device.settings else None
    if wanted is None:
        return
    named = [entry for alias in wanted.aliases.values() for entry in alias.allow]
    for entry in dict.fromkeys(named):
        try:
            users.number(entry.partition(":")[2])
        except KeyError:
            yield _ABOUT.failed(
                "user-unknown",
                f"credentials.aliases names the user {entry.partition(':')[2]}, who does not exist here.",
                device.config,
                "Create the user, or correct credentials.aliases.",
            )
    if not wanted.aliases:
        yield _ABOUT.warning(
            "no-role-alias",
            "The section `credentials` has no role alias, so no program can get credentials.",
            device.config,
            "Add one: credentials: {aliases: {NAME: {allow: [user:NAME]}}}",
        )


def check(device: Device) -> Findings:
    """Requests credentials for each alias, and keeps none."""
    settings = device.settings
    if settings is None or settings.credentials is None:
        return
    from fleet_agent.vending import one_shot

    credential, pair = in_service(open_store(settings))
    if device.pin_is_elsewhere(pair.private_key):
        yield _ABOUT.note(
            "pin-elsewhere",
            "The hardware token's PIN comes from the unit, so AWS cannot be asked from a shell.",
        )
        return
    for alias in settings.credentials.aliases:
        try:
            found = one_shot.fetch(settings, credential, pair, alias, device.clock, _LIMIT)
        except AgentError as error:
            yield from _ABOUT.error(error, alias)
        else:
            yield _ABOUT.ok(
                f"{alias}: AWS gives credentials, these until {found.expiration}.", alias
            )
