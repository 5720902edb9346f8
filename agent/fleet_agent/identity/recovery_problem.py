"""The problem of a dead identity in words: what is wrong, and what would bring the device back."""

from fleet_agent import clock
from fleet_agent.config.settings import Settings
from fleet_agent.credentials.model import Credential
from fleet_agent.health import table
from fleet_agent.health.problems import Problem
from fleet_agent.identity import recover
from fleet_agent.identity.ladder import Rung
from fleet_agent.identity.recovery_state import RecoveryState
from fleet_agent.pasted import word


def describe(
    known: RecoveryState, credential: Credential, settings: Settings, *, is_expired: bool
) -> Problem:
    """Makes the problem.

    Args:
        known: How far recovery has come.
        credential: The dead one.
        settings: Say whether there is a claim to ask with.
        is_expired: Whether its certificate has expired.
    """
    if is_expired:
        dead = f"Certificate {credential.certificate_id} of this device has expired"
    else:
        began = clock.text(known.refused_since) if known.refused_since is not None else "a while"
        dead = f"AWS IoT has refused certificate {credential.certificate_id} of this device since {began}"
    lacking = recover.lacks(settings)
    if lacking is not None:
        title = f"{dead}, and the device cannot request a new one: {lacking}."
        return table.IDENTITY_DEAD.problem(title, _means(credential, is_expired=is_expired))
    if known.rung is Rung.APPROVAL:
        return table.IDENTITY_DEAD.problem(
            f"{dead}; a new one waits for approval: {known.why}", _approval(credential)
        )
    remedy = f"{known.remedy.rstrip('.')}. " if known.remedy else ""
    return table.IDENTITY_DEAD.problem(
        f"{dead}; the agent requests a new one with the claim: {known.why.rstrip('.')}.",
        f"{remedy}The agent repeats the request, less and less often, and keeps trying the old one.",
    )


def _means(credential: Credential, *, is_expired: bool) -> str:
    own = (
        ""
        if is_expired
        else "If it was switched off by mistake: aws iot update-certificate --certificate-id "
        f"{credential.certificate_id} --new-status ACTIVE. Or give"
    )
    return (
        f"{own or 'Give'} the device a claim (fleet-cloud claim new; the sections `claim` and `provisioning`), which "
        "the agent uses within minutes; or a certificate: fleet-agent adopt --force --cert FILE --key FILE"
    )


def _approval(credential: Credential) -> str:
    thing = word(credential.client_id)
    return (
        f"To see why: fleet-cloud devices waiting. To allow it: fleet-cloud devices allow {thing} --any-key; nothing "
        "needs to be done on the device."
    )
