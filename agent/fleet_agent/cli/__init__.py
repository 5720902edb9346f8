"""The command line: one file a verb, each returns an ``Outcome``; outcomes and errors become words and status here.

stdout is the answer, stderr everything else. ``--json`` is stable and versioned, the words are not. Imports come late:
the daemon's follow its head start.
"""

import sys

from fleet_agent.process import starved, streams


def main(argv: list[str] | None = None) -> int:
    """Runs one command and returns its exit status."""
    streams.prepare()
    words = sys.argv[1:] if argv is None else argv
    try:
        starved.ensure_files()
        return _run(words)
    except BaseException as error:  # noqa: BLE001 - what it is not about is raised again
        from fleet_agent.cli import failure

        return failure.status_of(error, as_json="--json" in words)


def _run(words: list[str]) -> int:
    if words[:1] == ["run"] and not {"-h", "--help"} & set(words):
        from fleet_agent.daemon import head_start

        worker = head_start.begin()
        # What reports a failure must be there by then: without descriptors nothing more can be imported.
        from fleet_agent.cli import failure, run

        return run.start(words, worker).status
    from fleet_agent.cli import failure
    from fleet_agent.cli.outcome import write
    from fleet_agent.cli.parser import parse
    from fleet_agent.errors import UsageError
    from fleet_agent.process import log

    arguments = parse(words)
    if not hasattr(arguments, "run"):
        raise UsageError("No command given.", remedy="See fleet-agent --help", code="usage")
    log.set_up(verbose=arguments.verbose)
    ended = arguments.run(arguments)
    try:
        write(ended, as_json=arguments.json)
    except streams.OutputError as error:
        return failure.unwritten(error, ended.status)
    return int(ended.status)
