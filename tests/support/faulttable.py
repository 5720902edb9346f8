"""The table of faults in docs/reference/faults.md, made of what the tests of faults saw.

Each of those tests tells what it did and what came of it; that is held against ``faults.json`` beside them, so that the
table cannot say what the agent does not do. To make both again:

    FAULT_TABLE=write python -m pytest tests/integration/provisioning tests/e2e/test_adopt.py tests/e2e/test_move.py &&
    python tests/support/faulttable.py
"""

import fcntl
import json
import os
import re
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
FACTS = ROOT / "tests" / "integration" / "provisioning" / "faults.json"
PAGE = ROOT / "docs" / "reference" / "faults.md"

# The identity in use is refused for good; the first certificate counts among those that were made.
LADDER = "run: the ladder back"
# A certificate and key that are given; what they do not become, nothing is used of.
ADOPT = "adopt: an existing certificate and key"
# To another account: what fails leaves the device where it was.
MOVE = "move: another account or region"

STEPS = (
    "name and port",
    "TLS",
    "connect as the claim",
    "subscribe as the claim",
    "publish as the claim",
    "CreateCertificateFromCsr",
    "CreateKeysAndCertificate",
    "RegisterThing",
    "prove: connect as the thing",
    "prove: publish as the thing",
    "run: later years",
    LADDER,
    ADOPT,
    MOVE,
)

_ENDS = {
    0: "tries again, and ends provisioned",
    69: "tries again until `--timeout`, then 69; the next run continues from there",
    75: "tries again, less and less often, until `--timeout`, then 75",
    77: "`provision` ends with 77; `run` waits, less and less often, up to an hour",
    78: "`provision` ends with 78; `run` waits, less and less often, up to an hour",
}
_OWN_ENDS: dict[str, dict[int | None, str]] = {
    ADOPT: {
        69: "tries again until `--timeout`, then 69; `run` keeps trying",
        77: "tries again for 45 s, or 2 min if your own CA signed it, then 77; `run` keeps trying, less and less often",
        78: "ends with 78; nothing was requested from AWS IoT",
    },
    MOVE: {
        None: "does not move: the running agent stays where it is",
        69: "tries again until `--timeout`, then 69; stays where it was",
        75: "tries again until `move.within`, then returns: 75, or the problem `move-failed`",
        77: "ends with 77, or after `move.within` if a policy may still spread; stays where it was",
        78: "ends with 78; stays where it was",
    },
}
_AT_ONCE = "`provision` ends with {status}; `run` waits, less and less often, up to five minutes"

_HEAD = """\
# Faults

What can go wrong between a device and AWS IoT, what the agent does about it, and what it reports on stderr and, in
`run`, in the log and in `fleet-agent status`. Every row is a test against the sandbox
(`tests/integration/provisioning`, `tests/e2e/test_adopt.py`, `test_move.py`); at its end the device is provisioned,
the ledger lists every certificate whose answer arrived, and no more certificates were issued than the row says. For
the [ladder back](../explanation/identity.md#the-ladder-back) a row says what the fault costs until then. An
identity that is [adopted](../how-to/come-from-a-peer.md) or [moved to](../how-to/move.md) is used only once it is
proven: these faults leave the device as it was. How to read the messages: [Find out what is
wrong](../how-to/troubleshooting.md).

<!-- made by tests/support/faulttable.py of what the tests saw: do not edit -->

"""


@dataclass(frozen=True)
class Seen:
    """What a test did, and what came of it.

    Attributes:
        step: One of ``STEPS``.
        fault: In a few words.
        status: Exit status of the run that met it; None: `run`, which goes on.
        minted: Certificates made in all.
        said: Everything on stderr.
        at_once: Whether `provision` ends although there is time left.
    """

    step: str
    fault: str
    status: int | None
    minted: int
    said: str
    at_once: bool = False


def tell(seen: Seen) -> None:
    """Holds what a test saw against the table, or writes it down."""
    assert seen.step in STEPS
    key = os.environ["PYTEST_CURRENT_TEST"].partition("::")[2].rpartition(" ")[0]
    line = first_line(seen.said)
    if os.environ.get("FAULT_TABLE") == "write":
        _write_down(key, seen, line)
    else:
        known = _facts().get(key)
        assert known is not None, f"{key} is not in {FACTS.name}: {__doc__}"
        assert (known["status"], known["minted"]) == (seen.status, seen.minted)
        assert line in known["says"], f"{line!r} is none of {known['says']}: {__doc__}"


def _write_down(key: str, seen: Seen, line: str) -> None:
    with FACTS.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # other workers write, too
        facts = _facts()
        says = [*facts.get(key, {"says": []})["says"], line]
        facts[key] = {**asdict(seen), "says": sorted(set(says), key=says.index)}
        del facts[key]["said"]
        if not seen.at_once:
            del facts[key]["at_once"]
        text = json.dumps(dict(sorted(facts.items())), indent=1, ensure_ascii=False)
        FACTS.write_text(f"{text}\n")


def first_line(said: str) -> str:
    """The first line that tells of trouble, without what is another one each time; empty when there is none."""
    for line in said.splitlines():
        text = line.strip()
        if text.startswith("fleet-agent: ") or "Trying again in" in text:
            text = re.sub(r" Trying again in \d+ s\.$", "", text.removeprefix("fleet-agent: "))
            text = re.sub(
                r"^(attempt|key|certificate|registered|proven|claim session): ", "", text
            )
            return _general(text)
    return ""


def _general(text: str) -> str:
    for pattern, word in (
        (r"(?<![^\s(])/\S+/([\w.-]+)", r"…/\1"),
        (r"\b[0-9a-f]{64}\b", "ID"),
        (r"\bfleet[0-9a-f]{8}-\w+", "THING"),
        (r"\bfleet[0-9a-f]{8}\b", "TEMPLATE"),
        (r"claim-[0-9a-f]{24}", "claim-…"),
        (r"(localhost|127\.0\.0\.1):\d+", "HOST:PORT"),
        (r"\blocalhost\b", "HOST"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME"),
        (r"within \d+ s", "within N s"),
        (r"x{40,}", "xxx…"),
    ):
        text = re.sub(pattern, word, text)
    return text


def _facts() -> dict[str, Any]:
    return dict(json.loads(FACTS.read_text() or "{}")) if FACTS.exists() else {}


def page() -> str:
    """The page, made of the facts."""
    rows: dict[str, dict[tuple[str, str, str], None]] = {step: {} for step in STEPS}
    for fact in _facts().values():
        says = next((_code(text) for text in fact["says"] if text), "nothing")
        rows[fact["step"]][(fact["fault"], _does(fact), says.replace("|", "\\|"))] = None
    parts = []
    for step, lines in rows.items():
        if not lines:
            continue
        table = "".join(f"| {fault} | {does} | {says} |\n" for fault, does, says in sorted(lines))
        title = step[:1].upper() + step[1:]
        parts.append(
            f"## {title}\n\n| fault | the agent | the operator sees |\n|---|---|---|\n{table}"
        )
    return _HEAD + "\n".join(parts)


def _code(text: str) -> str:
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def _does(fact: dict[str, Any]) -> str:
    status = fact["status"]
    if own := _OWN_ENDS.get(fact["step"]):
        return own[status]
    if status is None:
        more = fact["minted"] - 1
        costs = f"; costs {_certificates(more)}" if more > 0 else ""
        if fact["step"] != LADDER:
            costs = ""
        return f"`run` tries again by itself{costs}"
    does = "continues normally" if not status and not any(fact["says"]) else _ENDS[status]
    if fact.get("at_once"):
        does = _AT_ONCE.format(status=status)
    more = fact["minted"] - 1
    if more > 0:
        does += f"; costs {_certificates(more)}"
    return does


def _certificates(number: int) -> str:
    return "one certificate" if number == 1 else f"{number} certificates"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"wrote {PAGE.relative_to(ROOT)}\n")
