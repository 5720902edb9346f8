"""Which service a request on the HTTP port is for, where ministack takes an older client's word wrongly.

AWS's older clients, the ``aws`` command of Debian 12 among them, sign calls to AWS IoT with the service name
``execute-api``, that of API Gateway's own callers. AWS takes it; ministack sends such a call to API Gateway.
"""

import re
from collections.abc import Callable

Query = dict[str, list[str]]
Detect = Callable[[str, str, dict[str, str], Query], str]

_SIGNED_AS_BEFORE = re.compile(r"Credential=[^,]+/execute-api/aws4_request")

# The beginnings of the control plane's paths, as clients that sign for it use them.
IOT_PATHS = frozenset(
    """
    accept-certificate-transfer active-violations attached-policies audit authorizer authorizers
    behavior-model-training billing-groups cacertificate cacertificates cancel-certificate-transfer certificate
    certificates certificates-by-ca certificates-out-going confirmdestination custom-metric custom-metrics
    default-authorizer destinations detect dimensions domainConfigurations dynamic-thing-groups effective-policies
    endpoint event-configurations fleet-metric fleet-metrics indexing indices job-templates jobs
    keys-and-certificate loggingOptions managed-job-templates metric-values mitigationactions otaUpdates policies
    policy-principals policy-targets principal-policies principals provisioning-templates registrationcode
    reject-certificate-transfer role-aliases rules security-profile-behaviors security-profiles
    security-profiles-for-target streams tags target-policies test-authorization thing-groups
    thing-registration-tasks thing-types things transfer-certificate untag v2LoggingLevel v2LoggingOptions
    violation-events violations
    """.split()  # noqa: SIM905  (a table to read, not to quote)
)


def with_former_signing(was: Detect) -> Detect:
    """Takes a call to AWS IoT that is signed as ``execute-api`` for one to AWS IoT."""

    def detect(method: str, path: str, headers: dict[str, str], query: Query) -> str:
        service = was(method, path, headers, query)
        if (
            service == "apigateway"
            and _SIGNED_AS_BEFORE.search(headers.get("authorization", ""))
            and path.lstrip("/").split("/")[0] in IOT_PATHS
        ):
            service = "iot"
        return service

    return detect
