"""Files that are damaged: which is named, and in which words."""

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from fleet_agent.credentials.store import Store
from fleet_agent.errors import StateDirectoryError
from support.clock import FakeClock
from support.walks import ATTEMPT, walk


@pytest.mark.parametrize("name", ["attempt.json", "issued.json", "registration.json", "proven"])
@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"{}", b"\xff\xfe", b'{"tries": 1}']
)
def test_a_damaged_file_of_an_attempt_is_reported_with_a_remedy(
    store: Store, state_dir: Path, name: str, content: bytes
) -> None:
    walk(store, "a", "proven")
    (state_dir / "credentials/0001" / name).write_bytes(content)
    with pytest.raises(StateDirectoryError, match="credentials/0001") as caught:
        store.pending()
    assert caught.value.code == "state-damaged"
    assert "--restart" in caught.value.remedy


values = some.recursive(
    some.none() | some.booleans() | some.floats() | some.integers() | some.text(max_size=5),
    lambda inner: some.lists(inner, max_size=3),
    max_leaves=4,
)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80, deadline=None
)
@given(
    name=some.sampled_from(["attempt.json", "issued.json", "registration.json", "proven"]),
    changes=some.dictionaries(
        some.sampled_from(
            [*(f.name for f in dataclasses.fields(ATTEMPT)), "certificate_id", "ownership_token",
             "received", "thing_name", "device_configuration", "proven"]
        ),
        values,
    ),
)  # fmt: skip
def test_any_content_of_a_file_is_read_or_reported_as_damaged(
    tmp_path: Path, name: str, changes: dict[str, object]
) -> None:
    store = Store(tmp_path, FakeClock())
    if store.pending() is None:
        walk(store, "a", "proven")
    path = tmp_path / "credentials/0001" / name
    before = path.read_bytes()
    path.write_text(json.dumps({**json.loads(before), **changes}))
    try:
        store.pending()
    except StateDirectoryError as error:
        assert error.code == "state-damaged"  # noqa: PT017 - either outcome is right
    finally:
        path.write_bytes(before)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("issued.json", '{"certificate_id": 7, "received": 1}', r"0001/issued\.json is damaged: certificate_id is"),
        ("proven", '{"proven": "x"}', "0001/proven is damaged: proven is not a number"),
        ("proven", "{", r"0001/proven is damaged: Expecting"),
        ("issued.json", '{"received": 1}', r"0001/issued\.json is damaged: it has no certificate_id"),
        ("registration.json", "{", r"0001/registration\.json is damaged: Expecting"),
        ("registration.json", "[" * 100_000, r"0001/registration\.json is damaged: nested too deep"),
        ("key.json", '{"label": 1, "token": "t"}', r"0001/key\.json is damaged: label is not text"),
    ],
)  # fmt: skip
def test_damage_of_the_current_credential_is_described(
    store: Store, state_dir: Path, name: str, content: str, words: str
) -> None:
    walk(store, "a")
    (state_dir / "credentials/0001" / name).write_text(content)
    with pytest.raises(StateDirectoryError, match=words) as caught:
        store.current()
    # An identity is whole without the record of its proof.
    assert ("mv " if name == "proven" else "--force") in caught.value.remedy


def test_bytes_that_are_not_text_in_a_certificate_are_left_to_its_parser(
    store: Store, state_dir: Path
) -> None:
    walk(store, "a")
    (state_dir / "credentials/0001/certificate.pem.crt").write_bytes(b"a\xff")
    assert store.key_pair(1).certificate == "a\ufffd"
