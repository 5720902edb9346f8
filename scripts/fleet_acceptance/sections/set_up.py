"""The fleet that everything else uses: role, policies, template, hook and claim."""

from fleet_acceptance.context import Run

# Readings often enough to see them, and orders: to rotate, and to say something.
CONFIGURATION = """\
telemetry: {sources: [{system: {interval: 5s}}]}
rotation: {jobs: true}
handlers: {say: {exec: {argv: [printf, "%s,"]}}}
jobs: {enabled: true, operations: {say: say}}
commands: {enabled: true, operations: {say: say}}
"""


def up(run: Run) -> None:
    """Sets up the fleet, and gets a claim."""
    with run.step("fleet-cloud up --rotation --jobs --commands"):
        run.fleet_cloud("up", "--rotation", "--jobs", "--commands")
    with run.step("fleet-cloud claim new"):
        ca_file = run.cloud.where.ca_file
        run.fleet_cloud(
            "claim", "new", "--image", run.image, *(("--ca-file", ca_file) if ca_file else ())
        )
        drop_ins = run.image / "config.d"
        drop_ins.mkdir(exist_ok=True)
        (drop_ins / "acceptance.yaml").write_text(CONFIGURATION)
    with run.step("fleet-cloud status: nothing differs"):
        run.fleet_cloud("status")
