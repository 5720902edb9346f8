"""The flags about what a fleet's devices may do: rights, or a policy of the operator's own."""

import argparse
from pathlib import Path

from fleet_cloud.errors import UsageError
from fleet_cloud.local import files
from fleet_cloud.plan import template_check
from fleet_cloud.plan.documents import Document
from fleet_cloud.plan.rights import RightsFlags

RIGHTS = {
    "rotation": "replace their own certificates, and receive jobs that order it",
    "jobs": "take AWS IoT Jobs",
    "commands": "take AWS IoT Commands",
}


def add_to(parser: argparse.ArgumentParser) -> None:
    """Adds the flags."""
    for right, words in RIGHTS.items():
        parser.add_argument(
            f"--{right}", action="store_true", default=None, help=f"let devices {words}"
        )
        parser.add_argument(
            f"--no-{right}", dest=right, action="store_false", help="revoke that right"
        )
    parser.add_argument(
        "--device-policy-file",
        metavar="FILE",
        type=Path,
        help="your own policy of devices, JSON",
    )
    parser.add_argument(
        "--default-device-policy",
        action="store_true",
        help="go back to the policy of fleet-cloud",
    )


def read(arguments: argparse.Namespace) -> RightsFlags:
    """Returns what the flags ask for.

    Raises:
        UsageError: They contradict each other, or the file is not a policy.
    """
    path: Path | None = arguments.device_policy_file
    flags = RightsFlags(
        rotation=arguments.rotation,
        jobs=arguments.jobs,
        commands=arguments.commands,
        policy=_policy(path, allow_wildcard=arguments.allow_wildcard_policy) if path else None,
        default=arguments.default_device_policy,
    )
    if path and (flags.is_of_rights or flags.default):
        raise UsageError(
            "--device-policy-file and another flag of the device policy",
            remedy="put the rights into the file, and pass only the file",
        )
    return flags


def _policy(path: Path, *, allow_wildcard: bool) -> Document:
    text = files.read(path)
    if text is None:
        raise UsageError(f"--device-policy-file {path} does not exist", remedy="check its name")
    policy, found = template_check.read(text)
    if policy is not None:
        found += template_check.policy_problems(policy, allow_wildcard=allow_wildcard)
    if policy is None or found:
        raise UsageError(
            f"--device-policy-file {path} cannot be a fleet's device policy:",
            remedy="correct that; nothing was sent to AWS yet",
            details=found,
        )
    return policy
