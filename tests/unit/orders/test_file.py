"""Files that messages write, and names that they cannot have."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_agent.config.handlers import FileHandler
from fleet_agent.config.subscriptions import Subscription
from fleet_agent.files.reserved import OwnFileError, Reserved
from fleet_agent.orders.handlers.file import FileWork, place
from fleet_agent.orders.order import Order
from fleet_agent.orders.outcome import Outcome
from unit.orders.conftest import Bench


def writing(path: Path | str, topic: str = "cfg/+", **options: object) -> Subscription:
    handler = FileHandler(path=str(path), **options)  # type: ignore[arg-type]
    return Subscription(topic=topic, name="h", file=handler)


def test_a_payload_replaces_the_file_whole_with_its_mode(bench: Bench, tmp_path: Path) -> None:
    bench.listen(writing(tmp_path / "{1}.json", mode="0644"))
    (tmp_path / "net.json").write_text("old and longer than the new")
    assert bench.ask("cfg/net", b'{"a": 1}') == {"status": 0}
    assert (tmp_path / "net.json").read_bytes() == b'{"a": 1}'
    assert (tmp_path / "net.json").stat().st_mode & 0o7777 == 0o644
    assert bench.ask("cfg/net") == {"status": 0}
    assert (tmp_path / "net.json").read_bytes() == b""
    assert bench.counters().handled == 2


def test_a_folder_can_be_named_by_the_topic(bench: Bench, tmp_path: Path) -> None:
    bench.listen(writing(tmp_path / "{1}" / "{2}", topic="cfg/#"))
    (tmp_path / "net").mkdir()
    assert bench.ask("cfg/net/eth0", b"x") == {"status": 0}
    assert (tmp_path / "net" / "eth0").read_bytes() == b"x"
    assert bench.ask("cfg/none/eth0")["error"] == "not-written"
    assert "No such file or directory" in bench.problems["handler-failed h"]
    assert bench.ask("cfg/net")["error"] == "refused-name"
    assert list(tmp_path.glob("none*")) == []


def files_below(folder: Path) -> list[Path]:
    """But for what the handler keeps itself."""
    return sorted(path for path in folder.rglob("*") if "orders" not in path.parts)


@pytest.mark.parametrize(
    "level", ["..", ".", "", ".hidden", "a\nb", "a\u202eb", "\x7f", "x" * 201]
)
def test_a_level_that_is_no_plain_name_is_refused(
    bench: Bench, tmp_path: Path, level: str
) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    bench.listen(writing(inner / "{1}"))
    before = files_below(tmp_path)
    found = bench.ask(f"cfg/{level}", b"x")
    assert (found["status"], found["error"]) == (-1, "refused-name")
    assert files_below(tmp_path) == before
    assert bench.problems == {}  # the sender's fault


def test_links_are_not_followed_where_the_topic_leads(bench: Bench, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").write_text("mine")
    (tmp_path / "folder").symlink_to(elsewhere)
    (tmp_path / "name").symlink_to(elsewhere / "file")
    bench.listen(
        writing(tmp_path / "{1}" / "file", topic="a/+"), writing(tmp_path / "{1}", topic="b/+")
    )
    assert bench.ask("a/folder", b"x")["error"] == "refused-name"
    assert bench.ask("b/name", b"x")["error"] == "not-written"
    assert bench.ask("b/elsewhere", b"x")["error"] == "not-written"
    assert (elsewhere / "file").read_text() == "mine"
    # The administrator's own link leads where it leads.
    bench.listen(writing(tmp_path / "folder" / "{1}", topic="c/+"))
    assert bench.ask("c/new", b"x") == {"status": 0}
    assert (elsewhere / "new").read_text() == "x"


def test_too_large_a_message_leaves_the_file_alone(bench: Bench, tmp_path: Path) -> None:
    bench.listen(writing(tmp_path / "x", topic="cfg", max_size=3))
    assert bench.ask("cfg", b"123") == {"status": 0}
    assert bench.ask("cfg", b"1234")["error"] == "too-large"
    assert (tmp_path / "x").read_bytes() == b"123"


def test_the_agents_own_files_are_nobodys_and_what_is_written_is_not_resumed(
    tmp_path: Path,
) -> None:
    (tmp_path / "state").mkdir()
    reserved = Reserved([tmp_path / "state"])
    work = FileWork(FileHandler(path=str(tmp_path / "{1}" / "x")), reserved)
    outcomes: list[Outcome] = []
    assert not work.resume(Order(payload=b"", levels=("state",)), outcomes.append)
    for level in ("state", "none", ".."):
        work.begin(Order(payload=b"", levels=(level,)), outcomes.append)
    assert [outcome.error for outcome in outcomes] == [
        "not-written",
        "not-written",
        "refused-name",
    ]
    assert outcomes[0].reason == f"Cannot write {tmp_path}/state/x: {OwnFileError().strerror}."
    assert outcomes[2].reason == "the topic's level {1} is not a plain file name"
    assert work.cancel()
    assert not list((tmp_path / "state").iterdir())


def test_as_long_a_name_as_may_be(tmp_path: Path) -> None:
    assert place(f"{tmp_path}/{{1}}", ("é" * 100,)) == tmp_path / ("é" * 100)
    with pytest.raises(ValueError, match="not a plain file name"):
        place(f"{tmp_path}/{{1}}", ("é" * 100 + "x",))


def test_below_the_first_level_of_a_topic_links_are_the_senders(
    bench: Bench, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "link").symlink_to(tmp_path / "elsewhere")
    bench.listen(writing(tmp_path / "{1}" / "link" / "{2}", topic="cfg/+/+"))
    assert bench.ask("cfg/a/x", b"x")["error"] == "refused-name"
    assert not list((tmp_path / "elsewhere").iterdir())


_LEVEL = st.one_of(st.text(max_size=250), st.sampled_from(["..", ".", "a/../../b", "a", "\0"]))


@given(st.lists(_LEVEL, max_size=3), st.sampled_from(["/d/{1}", "/d/{1}/{2}.json", "/d/x{2}{1}"]))
def test_no_topic_leads_out_of_the_template(levels: list[str], template: str) -> None:
    try:
        path = place(template, tuple(levels))
    except ValueError:
        return
    assert len(path.parts) == len(Path(template).parts)
    assert path.parts[:2] == ("/", "d")
    assert ".." not in path.parts
    assert str(path).isprintable()
    assert all(len(part.encode()) <= 2 * 200 + 1 for part in path.parts)
