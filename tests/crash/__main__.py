"""``scripts/crash-matrix``: breaks the agent at every system call it makes, and says what it survived."""

import argparse
import random
import sys
import time
from collections import Counter
from functools import partial

from crash.adoption import Adoption
from crash.fill_queue import ACKNOWLEDGES_FIRST
from crash.give_orders import IN_MEMORY
from crash.matrix import Make, Matrix, Point, sample, with_errors
from crash.move import Move
from crash.orders import Orders
from crash.provisioning import METHODS, Provisioning
from crash.readings import Readings
from crash.recovery import Recovery
from crash.rotation import Rotation
from crash.wrong_agent import WRITERS


def main() -> int:
    """Runs it; 1 when something did not survive."""
    arguments = _parser().parse_args()
    seed = random.randrange(10**6) if arguments.seed is None else arguments.seed
    began = time.monotonic()
    with Matrix(_makers(arguments), arguments.workers, _tell) as matrix:
        points = matrix.sizes() if arguments.short else matrix.points()
        if arguments.changing:
            points = [point for point in points if point.changes]
        if arguments.errors:
            points = list(with_errors(points))
        found = len(points)
        if arguments.sample:
            points = sample(points, arguments.sample, seed)
            print(f"seed {seed}: {len(points)} of {found} points")
        _tell(f"{len(points)} points: {_counted(points)}")
        tallies = matrix.run(points)
    print(f"{'workload':<16} {'tried':>6} {'survived':>9} {'not reached':>12}")
    for name, tally in tallies.items():
        print(f"{name:<16} {tally.tried:>6} {tally.survived:>9} {tally.missed:>12}")
    tried = sum(tally.tried for tally in tallies.values())
    survived = sum(tally.survived for tally in tallies.values())
    print(f"{survived} of {tried} points survived, {time.monotonic() - began:.0f} s")
    return 0 if tried and survived == tried else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/crash-matrix",
        description="Provisions against the sandbox once for every file and network system call it makes, killed there "
        "(or, with --errors, that call failing), and checks what is left and what the next start makes of it. Minutes.",
    )
    add = parser.add_argument
    add("--method", choices=METHODS, action="append", help="only this way to a certificate")
    add("--queue", action="store_true", help="only the queue of readings")
    add("--orders", action="store_true", help="only orders: messages and a job")
    add(
        "--rotation",
        action="store_true",
        help="only a rotation, with the device's own certificate",
    )
    add("--move", action="store_true", help="only a move to another endpoint")
    add(
        "--adoption", action="store_true", help="only the adoption of a pair that is there already"
    )
    add("--recovery", action="store_true", help="only the ladder back from a revoked certificate")
    add("--sample", type=int, metavar="N", help="only N points, chosen by chance")
    add("--seed", type=int, help="the same chance again")
    add(
        "--errors", action="store_true", help="errors in place of kills: ENOSPC, EIO, EROFS, EINTR"
    )
    add(
        "--short",
        action="store_true",
        help="short writes in place of kills: a limit on the size of files",
    )
    add("--changing", action="store_true", help="only calls that change something or send")
    add("--workers", type=int, default=2, metavar="N", help="at once, each with a sandbox (2)")
    add(
        "--writer",
        choices=[*sorted(WRITERS), ACKNOWLEDGES_FIRST, IN_MEMORY],
        help="break a wrong writer instead: it must be caught",
    )
    return parser


def _makers(arguments: argparse.Namespace) -> dict[str, Make]:
    if arguments.queue or arguments.orders:
        name, workload = ("queue", Readings) if arguments.queue else ("orders", Orders)
        return {name: partial(workload, writer=arguments.writer)}
    if arguments.rotation:
        return {"rotation": Rotation}
    if arguments.move:
        return {"move": Move}
    adoption: dict[str, Make] = {
        f"adoption {'again' if again else 'first'}": partial(Adoption, again=again)
        for again in (False, True)
    }
    if arguments.adoption:
        return adoption
    if arguments.recovery:
        return {"recovery": Recovery}
    makers: dict[str, Make] = {
        f"{method} {'again' if again else 'first'}": partial(
            Provisioning, method=method, again=again, writer=arguments.writer
        )
        for method in arguments.method or METHODS
        for again in (False, True)
    }
    if not arguments.method and not arguments.writer:
        makers["queue"] = Readings
        makers["orders"] = Orders
        makers["rotation"] = Rotation
        makers["move"] = Move
        makers["recovery"] = Recovery
        makers |= adoption
    return makers


def _counted(points: list[Point]) -> str:
    kinds = Counter("file" if point.is_file else "network" for point in points)
    return ", ".join(f"{number} {kind}" for kind, number in kinds.items())


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
