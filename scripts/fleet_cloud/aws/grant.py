"""What one statement of an operator's policy allows. Pure."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Grant:
    """Actions on the resources of these kinds (the keys of :func:`fleet_cloud.aws.operator_policy.resources`).

    Args:
        kinds: On these.
        actions: These.
        only: Under which condition (a key of :func:`fleet_cloud.aws.operator_policy.conditions`); empty for none.
    """

    kinds: tuple[str, ...]
    actions: tuple[str, ...]
    only: str = ""
