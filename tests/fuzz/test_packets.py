"""Packets of programs on the socket, in any shape: each is answered, and the next program is served."""

import json
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from support.fuzzing import TIMES
from support.programs import Program, begin
from support.sources import Bench

pytestmark = pytest.mark.slow  # tens of seconds on a small machine

TEXT = some.text(max_size=30) | some.sampled_from(
    ["dt/pump-7/a", "dt/#", "$aws/x", "\uffff", "\ud800", "a" * 300, "{thing}", "{", "\0"]
)
ANYTHING = some.recursive(
    TEXT | some.none() | some.booleans() | some.integers() | some.floats(),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(TEXT, inner, max_size=3),
)
FIELDS = ("topic", "payload", "encoding", "qos", "expires", "wait", "id", "other")
PACKET = some.dictionaries(some.sampled_from(FIELDS), ANYTHING, max_size=5)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    found = Bench(tmp_path_factory.mktemp("packets"))
    begin(found)
    yield found
    found.close()


@given(
    data=some.builds(lambda one: json.dumps(one).encode(errors="surrogatepass"), PACKET)
    | some.binary(min_size=1, max_size=200)
    | some.just(b"[" * 100_000)
)
@settings(
    max_examples=150 * TIMES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_packets(bench: Bench, data: bytes) -> None:
    program = Program(bench)
    answer = program.ask(data)
    assert answer.get("ok") or answer["error"]["code"]
    assert program.ask({"payload": 1})["ok"]
    program.socket.close()
    bench.opened.remove(program.socket)
