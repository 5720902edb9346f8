"""What the hook of ``up`` asks the registry for a registration, against the account's quotas for that. Pure."""

import dataclasses
from collections.abc import Sequence

from fleet_cloud.aws.pace import QUOTAS
from fleet_cloud.rehearsal.quotas import Bucket

# As ``plan.hook.decision`` asks. That a claim is on no thing (ListPrincipalThings) is asked once in five minutes.
NEW = ("DescribeThing", "CreateThing")


@dataclasses.dataclass(frozen=True)
class HookCalls:
    """The calls for one registration, and the part of the account's quotas that is left for them."""

    calls: Sequence[str] = NEW
    share: float = 1.0


class Hook:
    """The hook of one account."""

    def __init__(self, wanted: HookCalls) -> None:
        self.calls = 0
        self.failed = 0
        self._quotas = [Bucket(wanted.share * QUOTAS[call]) for call in wanted.calls]

    def answers(self, now: float) -> bool:
        """Whether it comes to an answer; a call over its quota ends it with an error, and is not made again."""
        for quota in self._quotas:
            self.calls += 1
            if not quota.takes(now):
                self.failed += 1
                return False
        return True
