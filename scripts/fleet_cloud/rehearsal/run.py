"""One rehearsal: the devices' folders, their power, the live page, the outcome. The cloud is prepared already."""

import dataclasses
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack

from fleet_agent.clock import jitter
from fleet_agent.config.settings import Settings
from fleet_cloud.console import Console, duration
from fleet_cloud.rehearsal import configuration, figures, fleet, outlook, report, web
from fleet_cloud.rehearsal.device import Made
from fleet_cloud.rehearsal.fleet import Fleet, Start
from fleet_cloud.rehearsal.journal import Journal, Life
from fleet_cloud.rehearsal.scenario import Scenario

_SAY_SECONDS = 10.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage:
    """What a rehearsal runs with.

    Args:
        settings: The configuration of all devices.
        parameters: Of the template, beside the serial number.
        made: Records what was made.
        console: Where progress is said.
        port: Of the live page; nothing for none.
    """

    settings: Settings
    parameters: Mapping[str, str]
    made: Made
    console: Console
    port: int | None


def rehearse(scenario: Scenario, stage: Stage) -> tuple[Journal, report.Report]:
    """Runs the devices until all have an identity or the time is over; returns the outcome."""
    run = secrets.token_hex(2)
    serials = {number: f"{scenario.prefix}{run}-{number + 1:06}" for number in scenario.numbers}
    fleet.allow(len(serials))
    lives = {number: Life(name=serial) for number, serial in serials.items()}
    journal = Journal(asked=scenario.data(), began=time.time(), lives=[*lives.values()])
    board = web.Board(report.of(journal, 0.0))
    with ExitStack() as stack:
        if stage.port is not None:
            address = stack.enter_context(web.served(board, stage.port))
            stage.console.say(f"  live at {address}")
        root = stack.enter_context(fleet.disk())
        starts = []
        for number, life in lives.items():
            folder = root / serials[number]
            folder.mkdir(mode=0o700)
            at, dark = scenario.cut(number)
            starts.append(
                Start(
                    life=life,
                    settings=configuration.of_device(
                        stage.settings, folder, life.name, stage.parameters, scenario.spread
                    ),
                    power=scenario.power.moment(number, scenario.bound, jitter()),
                    cut=at,
                    dark=dark,
                )
            )
        devices = Fleet(journal, stage.made)
        look = _look(journal, board, devices, stage.console)
        try:
            devices.run(starts, scenario.limit, look)
        finally:
            devices.close()
        found = report.of(journal, devices.now)
        met = outlook.latency(figures.of_journal(journal, devices.now))
        variations = ["", *(name for name in outlook.WORDS if name not in scenario.tries)]
        rows = [outlook.simulated(scenario.rehearsed, met, variation) for variation in variations]
        found = report.of(journal, (journal.ended or 0.0) - journal.began, rows)
        board.put(found, is_last=True)
    return journal, found


def _look(
    journal: Journal, board: web.Board, devices: Fleet, console: Console
) -> Callable[[], None]:
    """Returns what shows its progress: on the page always, on the terminal now and then."""
    said = 0.0

    def look() -> None:
        nonlocal said
        board.put(report.of(journal, devices.now))
        if devices.now - said >= _SAY_SECONDS:
            said = devices.now
            there = sum(life.done is not None for life in journal.lives)
            console.say(
                f"  {there} of {len(journal.lives)} devices after {duration(devices.now)}, "
                f"{len(journal.refusals)} refusals"
            )

    return look
