"""Files that are no configuration: each ends in words, soon, and never in a traceback."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from fleet_agent.config.load import MAX_BYTES, load
from fleet_agent.config.settings import Settings
from fleet_agent.errors import ConfigurationError
from support.configurations import Folder
from support.users import as_nobody

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdef", "bcdefg", strict=True)
)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "config.yaml:1:1: endpoint: is missing"),
        ("# only words\n", "config.yaml:1:1: endpoint: is missing"),
        ("null", "config.yaml:1:1: is not a mapping of keys to values"),
        ("- a", "config.yaml:1:1: is not a mapping of keys to values"),
        ("endpoint", "config.yaml:1:1: is not a mapping of keys to values"),
        ("a: b: c", "config.yaml:1:5: not YAML: mapping values are not allowed here"),
        ("endpoint: x\n\tport: 1", "config.yaml:2:1: not YAML: found character '\\t'"),
        ("endpoint: [a", "config.yaml:1:13: not YAML: expected ',' or ']'"),
        ('endpoint: "a', "config.yaml:1:13: not YAML: found unexpected end of stream"),
        ("endpoint: *a", "config.yaml:1:11: not YAML: found undefined alias 'a'"),
        ("endpoint: a\n---\nport: 1", "config.yaml:2:1: not YAML: but found another document"),
        (
            "endpoint: !!python/object:os.system x",
            "endpoint: is x, which YAML reads as a date or a tagged value",
        ),
        ("endpoint: a.b\ntelemetry: !x {}", "config.yaml:2:12: telemetry: has the YAML tag !x"),
        ("endpoint: a.b\n<<: {port: 1}", 'config.yaml:2:1: has a merge key "<<"'),
        ("endpoint: a.b\non: 1", "config.yaml:2:1: has the key on, which YAML reads as a boolean"),
        ("endpoint: a.b\n? [x]\n: 1", "config.yaml:2:3: has a key that is a list or a mapping"),
        (b'endpoint: "\xff"', "config.yaml:1:12: is not UTF-8: byte 0xFF"),
        (b"port: 1\nendpoint: \xc3", "config.yaml:2:11: is not UTF-8: byte 0xC3"),
        ("endpoint: a\x01b", "config.yaml:1:12: character U+0001 is not allowed in YAML"),
        ("endpoint: a.b".encode("utf-16"), "config.yaml:1:1: is not UTF-8: byte 0xFF"),
        ("x" * (MAX_BYTES + 1), "config.yaml: is larger than 262144 bytes"),
        ("[" * 200_000, "config.yaml:1:34: lists and mappings nest deeper than 32"),
        ("- " * 100_000, "config.yaml:1:67: lists and mappings nest deeper than 32"),
        ("a: &a [*a]", "lists and mappings nest deeper than 32"),
        (BOMB, "has more than 5000 values, aliases counted each time"),
        ("a: [" + "x," * 100_000 + "]", "has more than 5000 values"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_file_that_is_none(folder: Folder, content: str | bytes, expected: str) -> None:
    (line,) = folder.problems(content)
    assert line.startswith(expected) or expected in line


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path / "none.yaml")
    assert caught.value.problems == (f"{tmp_path}/none.yaml: does not exist",)


def test_a_folder_in_the_place_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path)
    assert caught.value.problems == (f"{tmp_path}: is a folder",)


def test_a_pipe_in_the_place_of_the_file_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.yaml")
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path / "config.yaml")
    assert caught.value.problems == (f"{tmp_path}/config.yaml: is not a regular file",)


def test_a_link_that_leads_nowhere_or_in_a_circle(tmp_path: Path) -> None:
    link = tmp_path / "config.yaml"
    link.symlink_to(tmp_path / "none")
    with pytest.raises(ConfigurationError, match="has an error"):
        load(link)
    link.unlink()
    link.symlink_to(link)
    with pytest.raises(ConfigurationError) as caught:
        load(link)
    assert "Too many levels of symbolic links" in caught.value.problems[0]


def test_a_path_that_cannot_be_one() -> None:
    with pytest.raises(ConfigurationError, match="has an error"):
        load(Path("/etc/\0"))
    with pytest.raises(ConfigurationError, match="has an error"):
        load(Path("/" + "x" * 300))


def test_files_for_other_eyes() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        file = folder / "config.yaml"
        file.touch(mode=0)
        (folder / "config.d").mkdir(mode=0)
        with as_nobody(), pytest.raises(ConfigurationError) as caught:
            load(file)
    assert caught.value.problems == (
        f"{file}: cannot be read by this user",
        f"{folder}/config.d: cannot be read by this user",
    )


def test_drop_ins_for_other_eyes_hide_what_may_be_in_them() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "config.yaml").write_text("port: 443\n")
        (folder / "config.d").mkdir(mode=0)
        with as_nobody(), pytest.raises(ConfigurationError) as caught:
            load(folder / "config.yaml")
    assert caught.value.problems == (f"{folder}/config.d: cannot be read by this user",)


def test_a_current_directory_that_was_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    overrides = {"endpoint": "a.example", "ca_file": "ca.pem"}
    found = load(Path("config.yaml"), overrides=overrides, required=False).ca_file
    assert found == "/proc/self/cwd/ca.pem"
    # Not in the root, where somebody else's would be found, and ours made.
    with pytest.raises(FileNotFoundError):
        Path(found).write_text("")


def test_values_from_python_nested_without_end() -> None:
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(ConfigurationError):
        load(Path("/nowhere"), overrides={"endpoint": endless}, required=False)


# Bytes that are likely to go far: the format's own words between YAML's own signs.
WORDS = [
    "endpoint",
    "port",
    "claim",
    "provisioning",
    "parameters",
    "first_of",
    "command",
    "system",
]
SIGNS = [": ", "\n", "  ", "- ", "[", "]", "{", "}", ",", "'", '"', "&a ", "*a", "!!", "? "]
SIGNS += ["|\n", "#", "no", "1", "\t", "\0", "---"]
PIECES = some.one_of(some.sampled_from(WORDS + SIGNS), some.text(max_size=3))
LIKELY = some.lists(PIECES, max_size=40).map(lambda parts: "".join(parts).encode(errors="replace"))

TREE = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=8),
    lambda inner: (
        some.lists(inner, max_size=3)
        | some.dictionaries(some.sampled_from(WORDS), inner, max_size=4)
    ),
    max_leaves=12,
)


def outcome(
    path: Path, overrides: dict[str, object] | None = None
) -> Settings | ConfigurationError:
    try:
        return load(path, overrides=overrides, required=overrides is None)
    except ConfigurationError as error:
        return error


def is_sound(found: Settings | ConfigurationError) -> bool:
    """Whether these are settings, or problems of which each is one line of a length one reads."""
    if isinstance(found, Settings):
        return True
    lines = found.problems
    return bool(lines) and all(line.isprintable() and len(line) < 1000 for line in lines)


@settings(
    max_examples=300,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
)
@given(content=some.binary(max_size=200) | LIKELY)
def test_whatever_the_bytes_settings_or_words_come_of_them(folder: Folder, content: bytes) -> None:
    folder.write(content)
    assert is_sound(outcome(folder.file))


FLAGS = [*WORDS, "claim.certificate", "provisioning.spread"]


@settings(max_examples=200, deadline=None)
@given(overrides=some.dictionaries(some.sampled_from(FLAGS), TREE))
def test_whatever_the_flags_settings_or_words_come_of_them(overrides: dict[str, object]) -> None:
    assert is_sound(outcome(Path("/nowhere/config.yaml"), overrides))


@pytest.mark.parametrize(
    "content", ["endpoint: *{}", "{}: 1", "endpoint: [{}", "? {}", "a: !{} x", "endpoint: '{}:1'"]
)
def test_a_long_word_is_cut_in_what_is_said_of_it(folder: Folder, content: str) -> None:
    folder.write(content.format("x" * 5000))
    found = outcome(folder.file)
    assert isinstance(found, ConfigurationError)
    assert is_sound(found)
