"""A fleet switched on together: how long until all are provisioned, at how many requests, and how the peers do."""

import argparse
import dataclasses
import gc
import multiprocessing
import sys
from collections.abc import Iterator

from benchmarks import herd_real
from benchmarks.herd_recovery import Revoked

from fleet_agent.session import backoff
from fleet_agent.session.backoff import Patience
from fleet_cloud.rehearsal.case import Case, Client, Figures, agent
from fleet_cloud.rehearsal.figures import percentile
from fleet_cloud.rehearsal.hook_calls import HookCalls
from fleet_cloud.rehearsal.power import Cut
from fleet_cloud.rehearsal.simulation import Herd

SIZES = (10_000, 100_000)
QUICK = 2_000

# Of the bound; what `fleet-cloud config --fleet-size` and `fleet-agent config install` write.
FITS = backoff.ROOM
TOO_SMALL = FITS / 10

# What the right spread must reach; a small fleet's last device weighs more in the time until all are provisioned.
MOST_TIME = 1.10
MOST_TIME_QUICK = 1.25
MOST_REQUESTS = 3.0

A_TWENTIETH = 0.05
# The hook's calls for a device that lost its certificate and registers with its old key.
SAME_KEY = ("DescribeThing", "UpdateThing")
STREETS = 20
DARK = 0.06  # of the bound: how long a power cut lasts, a minute for 10,000 devices


def _fixed(_patience: Patience, _tries: int, _jitter: float) -> float:
    return 5.0


def _sdk(_patience: Patience, tries: int, jitter: float) -> float:
    """As mqtt5.ClientOptions of awscrt has it for reconnecting: 1 s to 2 min, full jitter."""
    return max(1.0, min(120.0, 2.0 ** min(tries - 1, 10)) * jitter)


def _plain(_patience: Patience, tries: int, _jitter: float) -> float:
    return min(600.0, 2.0 ** min(tries, 10))


PEERS = (
    Client("fixed 5 s, no spread", _fixed),
    Client("the SDK's default, no spread", _sdk),
    Client("plain exponential, no spread", _plain),
)


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table: what is run, and whether it has to meet the aims."""

    name: str
    case: Case
    client: Client
    is_aim: bool = False
    herd: type[Herd] = Herd


@dataclasses.dataclass(frozen=True)
class Line:
    """What a run came to. ``time`` and ``time_99`` in units of the quota's bound, ``own`` in seconds."""

    name: str
    share_provisioned: float
    time: float
    time_99: float
    requests: float
    requests_99: float
    rejected: float
    own_median: float
    own_99: float
    hook_calls: float
    hook_failed: int
    is_aim: bool

    def __str__(self) -> str:
        done = f"{self.time:8.2f}{self.time_99:8.2f}{self.requests:9.2f}"
        if self.share_provisioned < 1.0:
            done = (
                f"{f'stopped, {self.share_provisioned:.0%} done':>16}{f'> {self.requests:.0f}':>9}"
            )
        return (
            f"  {self.name:<48}{done}{self.requests_99:6.0f}{self.rejected:9.0%}"
            f"{self.own_median:9.1f}{self.own_99:8.0f}{self.hook_calls:6.2f}{self.hook_failed:7}"
        )


HEAD = (
    f"  {'':<48}{'all by':>8}{'99 % by':>8}{'requests':>9}{'99th':>6}{'rejected':>9}{'own, s':>9}{'99th':>8}"
    f"{'hook':>6}{'failed':>7}"
)


def rows(devices: int) -> Iterator[Row]:
    """The table for a fleet of so many devices."""
    case = Case(devices)
    bound = case.bound
    fitting = agent(FITS * bound)
    dark = DARK * bound
    rolling = tuple(
        Cut(bound * (street + 0.5) / STREETS, dark, street, STREETS) for street in range(STREETS)
    )
    blackout = (Cut(bound / 2, dark),)
    with_cuts = {"power cuts, street by street": rolling, "blackout at half time": blackout}
    yield Row("right spread", case, fitting, is_aim=True)
    silent = dataclasses.replace(case, is_silent=True)
    yield Row("… no answer instead of 429", silent, fitting, is_aim=True)
    for name, cuts in with_cuts.items():
        yield Row(f"… {name}", dataclasses.replace(case, cuts=cuts), fitting)
    shared = dataclasses.replace(case, hook=HookCalls(share=A_TWENTIETH))
    yield Row("… a twentieth of the registry's quotas left", shared, fitting)
    revoked = dataclasses.replace(case, hook=HookCalls(SAME_KEY))
    half = dataclasses.replace(revoked, devices=devices // 2)
    yield Row("half of them revoked at once", half, fitting, is_aim=True, herd=Revoked)
    yield Row("all of them revoked at once", revoked, fitting, herd=Revoked)
    yield Row("spread ten times too small", case, agent(TOO_SMALL * bound))
    yield Row("no spread", case, agent(0.0))
    enough = 60.0 if devices <= SIZES[0] else 15.0  # to see where it leads, in minutes
    for peer in PEERS:
        yield Row(peer.name, dataclasses.replace(case, patience_for=enough), peer)


def measure(row: Row, seed: int) -> Line:
    """Run one row."""
    gc.disable()  # nothing here goes round in circles
    return line(row, row.herd(row.case, row.client, seed).run())


def line(row: Row, figures: Figures) -> Line:
    """The row's figures, to be read."""
    done, own = sorted(figures.done or [0.0]), sorted(figures.own or [0.0])
    return Line(
        name=row.name,
        share_provisioned=figures.provisioned / row.case.devices,
        time=figures.times_bound,
        time_99=percentile(done, 0.99) / row.case.bound,
        requests=figures.per_device,
        requests_99=percentile(sorted(figures.requests_of_each), 0.99),
        rejected=figures.rejected / figures.requests,
        own_median=percentile(own, 0.5),
        own_99=percentile(own, 0.99),
        hook_calls=figures.hook_calls / row.case.devices,
        hook_failed=figures.hook_failed,
        is_aim=row.is_aim,
    )


def _measure(task: tuple[Row, int]) -> Line:
    return measure(*task)


def table(devices: int, seed: int) -> list[Line]:
    """Run and print a fleet's table, two rows at a time."""
    bound = Case(devices).bound
    print(f"{devices:,} devices, 10 registrations a second: the quota itself needs {bound:,.0f} s")
    print(HEAD)
    lines = []
    with multiprocessing.get_context("fork").Pool(2) as pool:
        for found in pool.imap(_measure, [(row, seed) for row in rows(devices)]):
            print(found, flush=True)
            lines.append(found)
    return lines


def misses(lines: list[Line], most_time: float) -> list[str]:
    """What is not as good as it has to be."""
    return [
        f"{found.name}: all by {found.time:.2f} (aim {most_time}), {found.requests:.2f} requests a device "
        f"(aim < {MOST_REQUESTS:.0f})"
        for found in lines
        if found.is_aim
        and (
            found.share_provisioned < 1.0
            or found.time > most_time
            or found.requests >= MOST_REQUESTS
        )
    ]


EXPLAINED = """
all by, 99 % by: time from power-on, in units of what the quota itself needs. requests: a device, with the 99th
percentile; two are needed. own: seconds from a device's first contact to its identity, median and 99th percentile. Of
those that were revoked: time from when the first may be given up, in units of what the quota needs for them. hook: its
calls to the registry, a device; failed: registrations that a quota of the registry refused it.
"""


def main() -> int:
    """Run it; 1 when an aim is missed."""
    parser = argparse.ArgumentParser(prog="benchmarks/herd", description=__doc__)
    parser.add_argument(
        "--devices",
        type=int,
        action="append",
        metavar="N",
        help=f"of a fleet; may be repeated {SIZES}",
    )
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} devices, for a test")
    parser.add_argument(
        "--real", action="store_true", help="rehearsals against the sandbox, simulated beside"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of chance (1)")
    arguments = parser.parse_args()
    if arguments.real:
        return herd_real.main()
    sizes = (QUICK,) if arguments.quick else arguments.devices or SIZES
    missed = []
    for devices in sizes:
        most_time = MOST_TIME_QUICK if devices < SIZES[0] else MOST_TIME
        missed += misses(table(devices, arguments.seed), most_time)
    print(EXPLAINED)
    for words in missed:
        print(f"missed: {words}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
