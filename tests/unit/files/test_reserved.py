"""The agent's own files, by whatever way somebody leads there."""

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fleet_agent import device
from fleet_agent.config.handlers import FileHandler
from fleet_agent.config.paths import reserved
from fleet_agent.config.provisioning import Claim, Provisioning
from fleet_agent.config.readings import FileSource
from fleet_agent.config.settings import Settings
from fleet_agent.config.sources import FromFile
from fleet_agent.errors import DeviceError
from fleet_agent.files.reserved import OwnFileError, Reserved
from fleet_agent.identity import own_session
from fleet_agent.orders.handlers.file import FileWork
from fleet_agent.orders.order import Order
from fleet_agent.orders.outcome import Outcome
from fleet_agent.telemetry.sources import file as files
from fleet_agent.telemetry.sources.file import File
from support.identity import CREDENTIAL
from support.sources import Bench

SECRET = "-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n"


class Place:
    """A device with a key, a claim, and a folder where a program keeps its log."""

    def __init__(self, folder: Path) -> None:
        self.state_dir = folder / "state"
        self.key = self.state_dir / "credentials" / "0001" / "private.pem.key"
        self.key.parent.mkdir(parents=True)
        self.key.write_text(SECRET)
        self.claim = folder / "claim.key"
        self.claim.write_text(SECRET)
        self.app = folder / "app"
        self.app.mkdir()
        self.settings = Settings(
            endpoint="e",
            state_dir=str(self.state_dir),
            claim=Claim(certificate=str(folder / "none"), private_key=str(self.claim)),
        )
        self.reserved = reserved(self.settings, {})


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def by_link(place: Place) -> Path:
    (place.app / "log").symlink_to(place.key)
    return place.app / "log"


def by_folder(place: Place) -> Path:
    (place.app / "logs").symlink_to(place.key.parent)
    return place.app / "logs" / place.key.name


def by_links(place: Place) -> Path:
    (place.app / "one").symlink_to("two")
    (place.app / "two").symlink_to(os.path.relpath(place.key, place.app))
    return place.app / "one"


def by_hard_link(place: Place) -> Path:
    (place.app / "log").hardlink_to(place.key)
    return place.app / "log"


def by_name(place: Place) -> Path:
    return place.key


def the_claim(place: Place) -> Path:
    (place.app / "log").symlink_to(place.claim)
    return place.app / "log"


WAYS = [by_link, by_folder, by_links, by_hard_link, by_name, the_claim]
Opening = Callable[[Place], Path]


@pytest.mark.parametrize("opening", WAYS)
def test_what_is_opened_is_judged(place: Place, opening: Opening) -> None:
    with opening(place).open("rb") as file, pytest.raises(OwnFileError):
        place.reserved.refuse(file.fileno())


def test_others_are_fine_by_link_too(place: Place) -> None:
    log = place.app / "real.log"
    log.write_text("1\n")
    (place.app / "log").symlink_to(log)
    (place.app / "same").hardlink_to(log)
    for path in (log, place.app / "log", place.app / "same"):
        with path.open("rb") as file:
            place.reserved.refuse(file.fileno())
        place.reserved.refuse_target(path)


@pytest.mark.parametrize("opening", [by_folder, by_name, the_claim])
def test_what_is_about_to_be_written_is_judged(place: Place, opening: Opening) -> None:
    with pytest.raises(OwnFileError):
        place.reserved.refuse_target(opening(place))


@pytest.mark.parametrize("opening", WAYS)
def test_a_source_publishes_none_of_it_and_says_so_until_it_is_mended(
    place: Place, opening: Opening, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "POLL", 0.01)
    bench = Bench(tmp_path)
    settings = FileSource(path=str(opening(place)), name="log", start="beginning", format="text")
    source = File(settings, bench.feed("log"), place.state_dir, place.reserved)
    bench.sources = [source]
    bench.turn(lambda: "source-failed log" in bench.problems())
    assert "the agent's own" in bench.problems()["source-failed log"]
    if opening not in (by_name, by_folder):
        Path(settings.path).unlink()
        Path(settings.path).write_text("reading\n")
        bench.turn(lambda: bench.intake.stored and not bench.problems())
        assert bench.intake.payloads == [b"reading"]
    assert not any(b"secret" in payload for payload in bench.intake.payloads)
    bench.close()


def test_a_log_that_becomes_a_link_is_followed_no_further(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "POLL", 0.01)
    monkeypatch.setattr(files, "QUIET", 0.0)
    bench = Bench(tmp_path)
    log = place.app / "log"
    log.write_text("one\n")
    settings = FileSource(path=str(log), name="log", start="beginning", format="text")
    bench.sources = [File(settings, bench.feed("log"), place.state_dir, place.reserved)]
    bench.until(1)
    log.rename(place.app / "log.1")
    log.symlink_to(place.key)
    bench.turn(lambda: "source-failed log" in bench.problems())
    assert bench.intake.payloads == [b"one"]
    bench.close()


def test_a_parameter_is_none_of_it(place: Place) -> None:
    (place.app / "serial").symlink_to(place.claim)
    wanted = {"SerialNumber": FromFile(file=str(place.app / "serial"))}
    with pytest.raises(DeviceError, match="the agent's own"):
        device.resolve(wanted, reserved=place.reserved)


def test_no_topic_is_filled_in_from_it(place: Place) -> None:
    (place.app / "serial").symlink_to(place.key)
    place.key.write_text("one line")
    parameters = {"Serial": FromFile(file=str(place.app / "serial"))}
    provisioning = Provisioning(template="t", parameters=parameters)
    settings = dataclasses.replace(place.settings, provisioning=provisioning)
    topics = own_session.topics(settings, CREDENTIAL)
    for fill in (topics.fill, topics.filler("app")):
        with pytest.raises(DeviceError, match="the agent's own"):
            fill("dt/{Serial}")


def test_a_message_overwrites_none_of_it(place: Place) -> None:
    (place.app / "cfg").symlink_to(place.key.parent)
    ended: list[Outcome] = []
    work = FileWork(FileHandler(path=f"{place.app}/cfg/{{1}}"), place.reserved)
    order = Order(
        topic="cfg/private.pem.key",
        payload=b"mine",
        response_topic=None,
        correlation_data=None,
        content_type=None,
        user_properties=(),
        levels=("private.pem.key",),
    )
    work.begin(order, ended.append)
    assert ended[0].error == "not-written"
    assert "the agent's own" in ended[0].reason
    assert place.key.read_text() == SECRET
    assert json.dumps(ended[0].reason)


def test_nothing_reserved_is_nothing_refused(place: Place) -> None:
    with place.key.open("rb") as file:
        Reserved([]).refuse(file.fileno())
