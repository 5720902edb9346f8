"""The table of problems: every problem that the agent can have; docs/reference/problems.md is generated from it.

Codes are stable: scripts compare them. A problem of a source or handler also carries its name.
"""

from fleet_agent import errors
from fleet_agent.errors import AgentError
from fleet_agent.health.problems import ProblemKind, Severity

_CALM = "The connection has lasted for 10 minutes."
_GOES_ON = "The step that it blocked succeeds, or fails for another reason."

# The connection ------------------------------------------------------------------------------------------------------

OFFLINE = ProblemKind(
    code="offline",
    severity=Severity.ERROR,
    title="There is no connection to AWS IoT; the problem gives the reason.",
    remedy="Check the network: fleet-agent doctor --online",
    clears="The next connection.",
)
UNSTABLE = ProblemKind(
    code="connection-unstable",
    severity=Severity.ERROR,
    title="The connection ended three times within an hour.",
    remedy="Check the network, AWS IoT's log for this client id in CloudWatch, and: fleet-agent doctor --online",
    clears=_CALM,
)
MAYBE_CLONED = ProblemKind(
    code="maybe-cloned",
    severity=Severity.ERROR,
    title="Another client connected with this thing's name.",
    remedy="Give the copy an identity of its own: on it, run fleet-agent reset --yes, then provision.",
    clears=_CALM,
)
QOS_MISSING = ProblemKind(
    code="qos-missing",
    severity=Severity.ERROR,
    title="The server does not accept QoS 1, so readings wait in the queue.",
    remedy="Compare `endpoint` with: aws iot describe-endpoint --endpoint-type iot:Data-ATS",
    clears="A connection to a server that accepts it.",
)
SERVER_LIMITS = ProblemKind(
    code="server-limits",
    severity=Severity.NOTICE,
    title="The server does not support retained messages, or keeps sessions for less than `connection.expiry`.",
    remedy="Compare `endpoint` and `connection` with what the server grants (AWS raises some quotas on request).",
    clears="A connection without that limit.",
)

# Down ----------------------------------------------------------------------------------------------------------------

SUBSCRIBE_REFUSED = ProblemKind(
    code="subscribe-refused",
    severity=Severity.ERROR,
    title="AWS IoT refuses the subscription to a topic filter.",
    remedy="Add the statement that the problem prints to the thing's policy.",
    clears="The filter is granted; the agent keeps asking for it while it is connected.",
)
SUBSCRIBE_UNANSWERED = ProblemKind(
    code="subscribe-unanswered",
    severity=Severity.WARNING,
    title="AWS IoT does not acknowledge the subscription to a topic filter.",
    remedy="The agent asks again, less and less often; until then, its messages may not arrive.",
    clears="The filter is granted.",
)
TOPIC_IMPOSSIBLE = ProblemKind(
    code="topic-impossible",
    severity=Severity.ERROR,
    title="A topic in the configuration has a placeholder that this device cannot fill; what needs the topic is "
    "out of service.",
    remedy="Compare the topic's placeholders with the device configuration from the provisioning template.",
    clears="A reload of the configuration, or a new device configuration.",
)
MESSAGE_SET_ASIDE = ProblemKind(
    code="message-set-aside",
    severity=Severity.WARNING,
    title="A message was acknowledged but not handled: three times the connection ended right after it arrived.",
    remedy="Check its sender and its response topic. If it is sent again, it counts as a new message.",
    clears=_CALM,
)
HANDLER_FAILED = ProblemKind(
    code="handler-failed",
    severity=Severity.ERROR,
    title="A handler's last order failed.",
    remedy="Check the log of that program; the next order that succeeds clears this.",
    clears="An order of that handler succeeds.",
    of="handler",
)
ORDERS_NOT_KEPT = ProblemKind(
    code="orders-not-kept",
    severity=Severity.WARNING,
    title="The state directory cannot be written: until it can, orders do not survive a restart.",
    remedy="Free some space in the state directory, or look at its disk (dmesg).",
    clears="An order is written to disk again.",
)

# Up ------------------------------------------------------------------------------------------------------------------

PUBLISH_REFUSED = ProblemKind(
    code="publish-refused",
    severity=Severity.ERROR,
    title="AWS IoT does not accept messages on a topic.",
    remedy="Add the statement that the problem prints to the thing's policy.",
    clears="AWS IoT accepts a message on that topic, or the next connection.",
)
QUEUE_UNUSABLE = ProblemKind(
    code="queue-unusable",
    severity=Severity.ERROR,
    title="Readings cannot be written to the disk.",
    remedy="Free some space; the agent continues by itself.",
    clears="Readings can be written again.",
)
QUEUE_DAMAGED = ProblemKind(
    code="queue-damaged",
    severity=Severity.WARNING,
    title="The queue of readings was damaged and replaced by an empty one; the damaged file is kept.",
    remedy="Check the disk (dmesg). `sqlite3 FILE .recover` may save readings. Then remove the file and restart.",
    clears="A restart.",
)
SOURCE_FAILED = ProblemKind(
    code="source-failed",
    severity=Severity.ERROR,
    title="A source produces no readings, or only some of them.",
    remedy="Follow the remedy in the problem; the source then continues by itself.",
    clears="That source works again.",
    of="source",
)

# AWS credentials for local programs ----------------------------------------------------------------------------------

CREDENTIALS_FAILED = ProblemKind(
    code="credentials-failed",
    severity=Severity.ERROR,
    title="AWS IoT last refused credentials for a role alias, or did not answer; cached ones are handed out while "
    "they are valid.",
    remedy="Follow the remedy in the problem; the agent asks again when a program does.",
    clears="Credentials for that role alias arrive.",
    of="role alias",
)
CREDENTIALS_CLOCK = ProblemKind(
    code="credentials-clock",
    severity=Severity.WARNING,
    title="This device's clock is more than five minutes off: AWS refuses requests signed by it.",
    remedy="Set the clock: timedatectl",
    clears="The next credentials arrive while the clock is right.",
)
CREDENTIALS_UNSERVED = ProblemKind(
    code="credentials-unserved",
    severity=Severity.ERROR,
    title="Some or all programs cannot ask the agent for AWS credentials.",
    remedy="See docs/how-to/aws-credentials.md: who may have them.",
    clears="The socket and the HTTP port are open, and every user on the allow-list exists.",
    of="listener",
)

# The identity --------------------------------------------------------------------------------------------------------

HARDWARE_CHANGED = ProblemKind(
    code="hardware-changed",
    severity=Severity.ERROR,
    title="The identity was proven on other hardware: was this storage copied from another device?",
    remedy="A copy: fleet-agent reset --yes, then provision. New hardware: remove `fingerprint.json`, restart.",
    clears="A start on the known hardware.",
)
IDENTITY_DEAD = ProblemKind(
    code="identity-dead",
    severity=Severity.ERROR,
    title="AWS IoT permanently refuses this device's certificate; the agent requests another one by the claim, if "
    "there is one.",
    remedy="Follow the remedy in the problem; `fleet-agent status` shows how far the recovery has come.",
    clears="AWS IoT accepts the certificate again, or another one is in use.",
)
CONFIGURATION = ProblemKind(
    code="configuration",
    severity=Severity.WARNING,
    title="The new configuration was refused; the agent keeps the previous one.",
    remedy="Correct it (fleet-agent config check), then: systemctl reload fleet-agent",
    clears="A reload without errors.",
)
ROTATION_FAILED = ProblemKind(
    code="rotation-failed",
    severity=Severity.WARNING,
    title="The credential was not replaced; the agent keeps the previous one.",
    remedy="Follow the remedy in the problem, then: fleet-agent rotate --force",
    clears="A rotation that succeeds.",
)
MOVE_FAILED = ProblemKind(
    code="move-failed",
    severity=Severity.WARNING,
    title="The device was not moved; it stays where it was.",
    remedy="Follow the remedy in the problem, then: fleet-agent move --to NAME",
    clears="A move or a rotation that succeeds, or a restart.",
)
CERTIFICATE_EXPIRES = ProblemKind(
    code="certificate-expires",
    severity=Severity.ERROR,
    title="The certificate in use expires soon, and nothing replaces it.",
    remedy="Let the device request the next one: a section `provisioning` (docs/how-to/rotate.md); or supply one: "
    "fleet-agent adopt --force --cert FILE --key FILE",
    clears="A certificate that does not expire soon, or a configuration that can replace it.",
)
CLAIM_NOT_DELETED = ProblemKind(
    code="claim-not-deleted",
    severity=Severity.WARNING,
    title="The claim is no longer needed and should be deleted, but it still exists.",
    remedy="Find out why: journalctl -u fleet-agent.service; or delete it: sudo fleet-agent claim delete",
    clears="A start that finds the claim gone.",
)

# Provisioning, until a person acts; with the code of the error --------------------------------------------------------

REFUSED = ProblemKind(
    code=errors.PROVISIONING_REFUSED,
    severity=Severity.ERROR,
    title="AWS IoT refuses to give this device an identity.",
    remedy="Check the template, its pre-provisioning hook and its role; the agent tries again by itself.",
    clears=_GOES_ON,
)
OF_ERRORS = (
    REFUSED,
    ProblemKind(
        code=errors.NOT_ALLOWED,
        severity=Severity.ERROR,
        title="A policy of the claim, or of the thing, lacks a statement.",
        remedy="Add the statement that the problem prints to that policy.",
        clears=f"{_GOES_ON} If the proof of an identity found it: a restart.",
    ),
    ProblemKind(
        code=errors.CONNECT_REFUSED,
        severity=Severity.ERROR,
        title="AWS IoT refuses the connection, with a reason code.",
        remedy="Follow the remedy in the problem.",
        clears=_GOES_ON,
    ),
    ProblemKind(
        code=errors.CERTIFICATE_REFUSED,
        severity=Severity.ERROR,
        title="AWS IoT does not accept the certificate.",
        remedy="Is it ACTIVE and of this account and region? aws iot describe-certificate --certificate-id ID",
        clears=_GOES_ON,
    ),
    ProblemKind(
        code=errors.CONNECT_UNANSWERED,
        severity=Severity.ERROR,
        title="The server closes the connection without an answer to the certificate.",
        remedy="Is it ACTIVE and of this account and region? aws iot describe-certificate --certificate-id ID",
        clears=_GOES_ON,
    ),
    ProblemKind(
        code=errors.SERVER_UNTRUSTED,
        severity=Severity.ERROR,
        title="The server's certificate is not signed by the CA, or is for another host name.",
        remedy="Set the CA of that endpoint with --ca-file or ca_file; for AWS IoT: AmazonRootCA1.pem",
        clears=_GOES_ON,
    ),
    ProblemKind(
        code=errors.PROXY_PASSWORD,
        severity=Severity.ERROR,
        title="The proxy requires a user and a password, or refuses those it was given.",
        remedy="Write user:password into a file, and set it: proxy_credentials: /etc/fleet-agent/proxy",
        clears=_GOES_ON,
    ),
    ProblemKind(
        code=errors.PAIR_UNUSABLE,
        severity=Severity.ERROR,
        title="TLS cannot use the issued certificate and its key.",
        remedy="Is it an RSA or EC key (not RSA-PSS, not Ed25519)? A new attempt: fleet-agent provision --restart",
        clears=_GOES_ON,
    ),
    ProblemKind(
        code=errors.CSR_REFUSED,
        severity=Severity.ERROR,
        title="AWS does not accept the certificate signing request.",
        remedy="Make another one: RSA from 2048 bits, P-256, P-384 or P-521, at most 2000 bytes.",
        clears=_GOES_ON,
    ),
    ProblemKind(
        code=errors.CLAIM_EXPIRED,
        severity=Severity.ERROR,
        title="The claim has expired, by this device's clock.",
        remedy="Set the clock (timedatectl), or replace the claim: fleet-cloud claim new",
        clears=_GOES_ON,
    ),
    ProblemKind(
        code=errors.CERTIFICATE_EXPIRED,
        severity=Severity.ERROR,
        title="The certificate to adopt has expired, by this device's clock.",
        remedy="Set the clock (timedatectl), or have a new certificate issued for the device.",
        clears=_GOES_ON,
    ),
    ProblemKind(
        code=errors.ANSWER_UNFIT,
        severity=Severity.ERROR,
        title="With the device configuration from RegisterThing, a topic in the configuration is invalid.",
        remedy="Change the template's DeviceConfiguration, or the topic here; the agent then calls RegisterThing "
        "again.",
        clears=_GOES_ON,
    ),
)

TABLE = (
    OFFLINE,
    UNSTABLE,
    MAYBE_CLONED,
    QOS_MISSING,
    SERVER_LIMITS,
    SUBSCRIBE_REFUSED,
    SUBSCRIBE_UNANSWERED,
    TOPIC_IMPOSSIBLE,
    MESSAGE_SET_ASIDE,
    HANDLER_FAILED,
    ORDERS_NOT_KEPT,
    PUBLISH_REFUSED,
    QUEUE_UNUSABLE,
    QUEUE_DAMAGED,
    SOURCE_FAILED,
    CREDENTIALS_FAILED,
    CREDENTIALS_CLOCK,
    CREDENTIALS_UNSERVED,
    HARDWARE_CHANGED,
    IDENTITY_DEAD,
    CONFIGURATION,
    ROTATION_FAILED,
    MOVE_FAILED,
    CERTIFICATE_EXPIRES,
    CLAIM_NOT_DELETED,
    *OF_ERRORS,
)

_BY_CODE = {kind.code: kind for kind in OF_ERRORS}


def kind_of(error: AgentError) -> ProblemKind:
    """Returns the kind of problem for an error that the agent survives."""
    return _BY_CODE.get(error.code, REFUSED)
