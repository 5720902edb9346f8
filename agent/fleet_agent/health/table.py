"""Every problem that the agent can have; docs/reference/problems.md is made from this.

A code is stable: scripts compare it. A problem of sources or handlers has the name of the one it is about beside it.
"""

from fleet_agent import errors
from fleet_agent.errors import AgentError
from fleet_agent.health.problems import ProblemKind, Severity

_CALM = "The connection has lasted for 10 minutes."
_GOES_ON = "The step that it stopped succeeds, or fails for another reason."

# The connection ------------------------------------------------------------------------------------------------------

OFFLINE = ProblemKind(
    code="offline",
    severity=Severity.ERROR,
    title="There is no connection to AWS IoT; the problem has the reason.",
    remedy="Check the network: fleet-agent doctor --online",
    clears="The next connection.",
)
UNSTABLE = ProblemKind(
    code="connection-unstable",
    severity=Severity.ERROR,
    title="The connection ended three times within an hour.",
    remedy="Look at the network, at AWS IoT's log of this client id in CloudWatch, and at: fleet-agent doctor --online",
    clears=_CALM,
)
MAYBE_CLONED = ProblemKind(
    code="maybe-cloned",
    severity=Severity.ERROR,
    title="Another client connected under this thing's name.",
    remedy="Give the copy an identity of its own there: fleet-agent reset --yes, then provision.",
    clears=_CALM,
)
QOS_MISSING = ProblemKind(
    code="qos-missing",
    severity=Severity.ERROR,
    title="The server does not accept messages of QoS 1, so readings wait in the queue.",
    remedy="Compare `endpoint` with: aws iot describe-endpoint --endpoint-type iot:Data-ATS",
    clears="A connection to a server that does.",
)
SERVER_LIMITS = ProblemKind(
    code="server-limits",
    severity=Severity.NOTICE,
    title="The server keeps no retained messages, or keeps a session for less than `connection.expiry`.",
    remedy="Compare `endpoint` and `connection` with what the server grants (AWS raises some quotas on request).",
    clears="A connection without that limit.",
)

# Down ----------------------------------------------------------------------------------------------------------------

SUBSCRIBE_REFUSED = ProblemKind(
    code="subscribe-refused",
    severity=Severity.ERROR,
    title="AWS IoT does not grant a topic filter.",
    remedy="Add the statement that the problem prints to the thing's policy.",
    clears="The filter is granted; it is asked for again while the connection lives.",
)
SUBSCRIBE_UNANSWERED = ProblemKind(
    code="subscribe-unanswered",
    severity=Severity.WARNING,
    title="AWS IoT does not acknowledge the subscription to a topic filter.",
    remedy="It is asked for again, less and less often; until then, messages on it may not arrive.",
    clears="The filter is granted.",
)
TOPIC_IMPOSSIBLE = ProblemKind(
    code="topic-impossible",
    severity=Severity.ERROR,
    title="A topic of the configuration cannot be filled in on this device, and what needs it is out of service.",
    remedy="Compare the topic's placeholders with the device configuration that the template gives.",
    clears="The configuration is read again, or the device gets another one.",
)
MESSAGE_SET_ASIDE = ProblemKind(
    code="message-set-aside",
    severity=Severity.WARNING,
    title="A message was acknowledged but not handled: three times, the connection ended right after it came.",
    remedy="Look at what sent it, and at its response topic; sent again later it is a new one.",
    clears=_CALM,
)
HANDLER_FAILED = ProblemKind(
    code="handler-failed",
    severity=Severity.ERROR,
    title="A handler's last order failed.",
    remedy="Look at that program's log; the next order that succeeds clears this.",
    clears="An order of that handler succeeds.",
    of="handler",
)
ORDERS_NOT_KEPT = ProblemKind(
    code="orders-not-kept",
    severity=Severity.WARNING,
    title="The state directory cannot be written: for now, orders do not survive a restart.",
    remedy="Free some space in the state directory, or look at its disk (dmesg).",
    clears="An order is written to disk again.",
)

# Up ------------------------------------------------------------------------------------------------------------------

PUBLISH_REFUSED = ProblemKind(
    code="publish-refused",
    severity=Severity.ERROR,
    title="AWS IoT does not accept messages on a topic.",
    remedy="Add the statement that the problem prints to the thing's policy.",
    clears="It takes one on that topic, or with the next connection.",
)
QUEUE_UNUSABLE = ProblemKind(
    code="queue-unusable",
    severity=Severity.ERROR,
    title="Readings cannot be written to the disk.",
    remedy="Free some space; the agent goes on by itself.",
    clears="Readings can be written again.",
)
QUEUE_DAMAGED = ProblemKind(
    code="queue-damaged",
    severity=Severity.WARNING,
    title="The queue of readings was damaged and replaced by an empty one; the damaged file is kept.",
    remedy="Look at the disk (dmesg). `sqlite3 FILE .recover` may find readings. Remove it, restart.",
    clears="A restart.",
)
SOURCE_FAILED = ProblemKind(
    code="source-failed",
    severity=Severity.ERROR,
    title="A source of readings gives none, or only some.",
    remedy="Follow the remedy in the problem; the source goes on by itself.",
    clears="That source works again.",
    of="source",
)

# AWS credentials for local programs ----------------------------------------------------------------------------------

CREDENTIALS_FAILED = ProblemKind(
    code="credentials-failed",
    severity=Severity.ERROR,
    title="AWS IoT gave no credentials for a role alias when last asked; those that are still valid are handed out.",
    remedy="Follow the remedy in the problem; it is asked again while programs want them.",
    clears="Credentials of that role alias come.",
    of="role alias",
)
CREDENTIALS_CLOCK = ProblemKind(
    code="credentials-clock",
    severity=Severity.WARNING,
    title="This device's clock is more than five minutes off: AWS refuses requests that are signed with it.",
    remedy="Set the clock: timedatectl",
    clears="The next credentials come with the clock right.",
)
CREDENTIALS_UNSERVED = ProblemKind(
    code="credentials-unserved",
    severity=Severity.ERROR,
    title="Programs, or some of them, cannot ask the agent for AWS credentials.",
    remedy="See docs/how-to/aws-credentials.md: who may have them.",
    clears="The socket, or the HTTP port, is open and every user of the allow-list is known.",
    of="listener",
)

# The identity --------------------------------------------------------------------------------------------------------

HARDWARE_CHANGED = ProblemKind(
    code="hardware-changed",
    severity=Severity.ERROR,
    title="The identity was proven on other hardware: was this storage copied from another device?",
    remedy="A copy: fleet-agent reset --yes, then provision. New hardware: remove `fingerprint.json`, restart.",
    clears="A start on hardware that is known.",
)
IDENTITY_DEAD = ProblemKind(
    code="identity-dead",
    severity=Severity.ERROR,
    title="AWS IoT refuses this device's certificate for good; another one is asked for by the claim, if there is one.",
    remedy="Follow the remedy in the problem; `fleet-agent status` names the rung of the ladder back.",
    clears="AWS IoT takes the certificate again, or another one is in use.",
)
CONFIGURATION = ProblemKind(
    code="configuration",
    severity=Severity.WARNING,
    title="The new configuration was refused; the agent keeps the previous one.",
    remedy="Correct it (fleet-agent config check), then: systemctl reload fleet-agent",
    clears="A reload that finds no fault.",
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
    title="The device was not moved; it goes on where it was.",
    remedy="Follow the remedy in the problem, then: fleet-agent move --to NAME",
    clears="A move or a rotation that succeeds, or a restart.",
)
CERTIFICATE_EXPIRES = ProblemKind(
    code="certificate-expires",
    severity=Severity.ERROR,
    title="The certificate in use expires soon, and nothing replaces it.",
    remedy="Let the device ask for the next one: a section `provisioning` (docs/how-to/rotate.md); or bring one: "
    "fleet-agent adopt --force --cert FILE --key FILE",
    clears="A certificate that is not near its end, or a configuration that can replace it.",
)
CLAIM_NOT_DELETED = ProblemKind(
    code="claim-not-deleted",
    severity=Severity.WARNING,
    title="The claim is no longer needed and was to be deleted, but it is still there.",
    remedy="See why: journalctl -u fleet-agent.service; or type: sudo fleet-agent claim delete",
    clears="A start that finds the claim gone.",
)

# Provisioning, until a person acts; with the code of the error --------------------------------------------------------

REFUSED = ProblemKind(
    code=errors.PROVISIONING_REFUSED,
    severity=Severity.ERROR,
    title="AWS IoT refuses to give this device an identity.",
    remedy="Look at the template, its pre-provisioning hook and its role; it is tried again by itself.",
    clears=_GOES_ON,
)
OF_ERRORS = (
    REFUSED,
    ProblemKind(
        code=errors.NOT_ALLOWED,
        severity=Severity.ERROR,
        title="A policy of the claim, or of the thing, lacks a statement.",
        remedy="Add the statement that the problem prints to that policy.",
        clears=f"{_GOES_ON} What the proof of an identity found: with a restart.",
    ),
    ProblemKind(
        code=errors.CONNECT_REFUSED,
        severity=Severity.ERROR,
        title="AWS IoT answers and refuses the connection.",
        remedy="Follow the remedy in the problem for its reason code.",
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
        title="The server ends the connection instead of answering the certificate.",
        remedy="Is it ACTIVE and of this account and region? aws iot describe-certificate --certificate-id ID",
        clears=_GOES_ON,
    ),
    ProblemKind(
        code=errors.SERVER_UNTRUSTED,
        severity=Severity.ERROR,
        title="The server's certificate is not signed by the CA, or is for another name.",
        remedy="Give the CA of that endpoint with --ca-file or ca_file; for AWS IoT: AmazonRootCA1.pem",
        clears=_GOES_ON,
    ),
    ProblemKind(
        code=errors.PROXY_PASSWORD,
        severity=Severity.ERROR,
        title="The proxy asks for a user and a password, or refuses those it was given.",
        remedy="Write user:password into a file and name it: proxy_credentials: /etc/fleet-agent/proxy",
        clears=_GOES_ON,
    ),
    ProblemKind(
        code=errors.PAIR_UNUSABLE,
        severity=Severity.ERROR,
        title="TLS does not accept the certificate and the key that were issued.",
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
        code=errors.ANSWER_UNFIT,
        severity=Severity.ERROR,
        title="The device configuration that RegisterThing answers makes a topic of the configuration impossible.",
        remedy="Change the template's DeviceConfiguration, or the topic here; then RegisterThing is asked again.",
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
    """The kind of problem that an error is, for an agent that lives with it."""
    return _BY_CODE.get(error.code, REFUSED)
