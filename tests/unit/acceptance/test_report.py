"""What is kept of a run: nothing secret; said in words; compared."""

import json
from pathlib import Path

import pytest

from fleet_acceptance.account import listing
from fleet_acceptance.facts.table import BY_ID
from fleet_acceptance.report import compare, words
from fleet_acceptance.report.redact import Redactor, found_in
from fleet_acceptance.report.result import Answer, Result, Step

ACCOUNT = "210987654321"
KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEabc\n-----END RSA PRIVATE KEY-----\n"
IDENTIFIER = "0123456789abcdef" * 4


def result(**answers: str) -> Result:
    found = Result("acc-012345", "eu-west-1", "2026-11-26", "account")
    found.answers = {name.replace("_", "-"): Answer(answer) for name, answer in answers.items()}
    return found


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ({"privateKey": KEY}, {"privateKey": "(redacted)"}),
        ({"certificateOwnershipToken": "abc"}, {"certificateOwnershipToken": "(redacted)"}),
        ({"deep": [{"sessionToken": "abc"}]}, {"deep": [{"sessionToken": "(redacted)"}]}),
        (f"said {KEY} and went on", "said (RSA PRIVATE KEY)\n and went on"),
        ("-----BEGIN PRIVATE KEY-----\ncut off", "(PRIVATE KEY)"),
        (f"arn:aws:iot:eu-west-1:{ACCOUNT}:thing/x", "arn:aws:iot:eu-west-1:ACCOUNT:thing/x"),
        (f"arn%3Aaws%3Aiot%3Aeu-west-1%3A{ACCOUNT}%3Acert", "arn%3Aaws%3Aiot%3Aeu-west-1%3AACCOUNT%3Acert"),
        (f"bucket_{ACCOUNT}_x", "bucket_ACCOUNT_x"),
        (IDENTIFIER, "0123456789ab…"),
        ("key AKIAIOSFODNN7EXAMPLE", "key (access key)"),
        ("a1b2c3d4e5-ats.iot.eu-west-1.amazonaws.com", "ENDPOINT.iot.eu-west-1.amazonaws.com"),
        ("c1d2e3f4g5.credentials.iot.eu-west-1.amazonaws.com", "ENDPOINT.credentials.iot.eu-west-1.amazonaws.com"),
        ("a known secret here", "a (redacted) here"),
        ({"n": 1, "ok": True, "none": None}, {"n": 1, "ok": True, "none": None}),
    ],
)  # fmt: skip
def test_what_is_kept(value: object, kept: object) -> None:
    redactor = Redactor(ACCOUNT)
    redactor.learn("known secret", "")
    assert redactor.of(value) == kept
    assert list(redactor.leaks(json.dumps(redactor.of(value)))) == []


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (KEY, "a private key"),
        ("-----BEGIN CERTIFICATE-----", "a certificate"),
        (f"account {ACCOUNT}.", "the account's number"),
        ("a known secret", "a secret of the run"),
        ("ASIAIOSFODNN7EXAMPLE", "an access key"),
        (f"certificate {IDENTIFIER}", "a certificate's whole id"),
    ],
)
def test_what_was_left_in_a_text_is_found(text: str, what: str) -> None:
    redactor = Redactor(ACCOUNT)
    redactor.learn("known secret")
    assert list(redactor.leaks(text)) == [what]
    assert list(redactor.leaks("a report")) == []
    assert list(found_in("a report")) == []


def test_a_result_is_read_as_it_was_written() -> None:
    one = result(token_twice="accepted")
    one.steps = [Step("set-up", "fleet-cloud up", 1.5), Step("hook", "x", 0.1, "it did not")]
    one.answers["hook-calls"] = Answer(None, "no answer came")
    one.figures = {"devices": 50}
    one.left = ["thing x"]
    assert Result.load(json.dumps(one.dump())) == one


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 2}', '{"format": 1}', '{"format": 1, "facts": []}']
)
def test_what_is_no_result_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  json's own, too
        Result.load(text)


@pytest.mark.parametrize(
    ("fact", "answer", "said"),
    [
        ("hook-limit", "5 s", "as documented; as the sandbox does"),
        ("hook-limit", "6 s", "NOT AS DOCUMENTED; DIFFERENT from the sandbox"),
        ("token-twice", "accepted", "nothing is said of it; as the sandbox does"),
        ("token-unknown", "404 X", "NOT AS THOUGHT; DIFFERENT from the sandbox"),
        ("jobs-newline", "accepted", "NOT AS THOUGHT; as the sandbox does"),
    ],
)
def test_a_verdict(fact: str, answer: str, said: str) -> None:
    assert words.verdict(BY_ID[fact], Answer(answer)) == said
    assert words.verdict(BY_ID[fact], Answer(None, "why")) == "not measured"


def test_a_report_names_what_differs_what_failed_and_what_is_left() -> None:
    one = result(token_twice="accepted", hook_limit="6 s")
    one.steps = [Step("hook", "it is let in", 0.1, "it was not")]
    one.left = ["thing x"]
    report = words.report(one)
    assert "- **hook-limit**" in report
    assert "- **token-twice**" not in report
    assert "FAILED: hook: it is let in" in report
    assert "> it was not" in report
    assert "- thing x" in report


def test_only_what_is_not_known_counts(tmp_path: Path) -> None:
    real = result(token_twice="400 X", hook_limit="6 s", csr_subject="kept")
    found = compare.against_sandbox(real, None, {})
    assert [(each.fact, each.known) for each in found] == [("token-twice", ""), ("hook-limit", "")]
    listed = tmp_path / "known.json"
    entry = {"fact": "hook-limit", "answer": "6 s", "why": "a margin of one second is left"}
    listed.write_text(json.dumps([entry]))
    found = compare.against_sandbox(real, None, compare.known(listed))
    assert [each.fact for each in found if not each.known] == ["token-twice"]
    # Known is an answer, not a fact: another one is new.
    other = compare.against_sandbox(result(hook_limit="7 s"), None, compare.known(listed))
    assert [each.known for each in other] == [""]


def test_two_runs_are_compared_by_their_answers() -> None:
    real, sandbox = result(token_twice="400 X"), result(token_twice="400 X")
    assert compare.against_sandbox(real, sandbox, {}) == []
    assert [
        each.fact for each in compare.against_sandbox(real, result(token_twice="accepted"), {})
    ]
    assert compare.against_sandbox(real, result(), {}) == []


@pytest.mark.parametrize(
    "text",
    ["{}", "[1]", '[{"fact": "x"}]', '[{"fact": "no-such", "answer": "a", "why": "b"}]', "no"],
)
def test_a_list_of_known_differences_is_checked(text: str, tmp_path: Path) -> None:
    path = tmp_path / "known.json"
    path.write_text(text)
    with pytest.raises(ValueError):  # noqa: PT011
        compare.known(path)


def test_the_list_that_comes_along_is_one() -> None:
    assert isinstance(compare.known(), dict)


@pytest.mark.parametrize(
    ("name", "run"),
    [
        ("acc-0a1b2c", "acc-0a1b2c"),
        ("acc-0a1b2c-device", "acc-0a1b2c"),
        ("acc_0a1b2c_to_sns", "acc-0a1b2c"),
        ("/aws/lambda/acc-0a1b2c-hook", "acc-0a1b2c"),
        ("arn:aws:sns:eu-west-1:123456789012:acc-0a1b2c-readings", "acc-0a1b2c"),
        ("https://sqs.eu-west-1.amazonaws.com/123456789012/acc-0a1b2c-readings", "acc-0a1b2c"),
        ("acc-0a1b2cd", None),
        ("my-acc-0a1b2c", None),
        ("account-1", None),
        ("acc-0A1B2C", None),
    ],
)
def test_whose_name_it_is(name: str, run: str | None) -> None:
    assert listing.run_of(name) == run


def test_what_came_and_what_went() -> None:
    before, after = {"thing": ["a", "b"], "role": ["r"]}, {"thing": ["b", "c"], "role": ["r"]}
    assert listing.changes(before, after) == {"thing": ["+c", "-a"]}
    assert listing.changes(before, before) == {}
    # What could be listed only once says nothing.
    assert listing.changes(before, {"thing": ["a", "b"]}) == {}
