"""How far a job has come, and how it ended, as AWS's ``statusDetails``. Pure."""

from fleet_agent.orders.jobs.document import Plan, Step
from fleet_agent.orders.jobs.execution import FAILED, REJECTED, SUCCEEDED, clean
from fleet_agent.orders.jobs.progress import Done, Progress
from fleet_agent.orders.outcome import Result


def is_over(progress: Progress, plan: Plan) -> bool:
    """Whether nothing is left to do: a step failed, or all are done."""
    return len(progress.steps) >= len(plan.steps) or _failed(progress, plan) is not None


def end(progress: Progress, plan: Plan) -> tuple[str, dict[str, str]]:
    """Returns the status and the details of a job that is over."""
    failed = _failed(progress, plan)
    index = len(progress.steps) - 1
    last, step = progress.steps[index], plan.steps[index]
    found = {"step": position(plan, index), "outcome": last.result.value}
    if last.result is not Result.REFUSED and last.status >= 0:
        found["exit-status"] = str(last.status)
    if last.reason:
        found["reason"] = clean(last.reason)
    found |= _output(last, step)
    if failed is None:
        return SUCCEEDED, found
    # Nothing was done, and a retry would not change that.
    is_first = len(progress.steps) == 1 and last.result is Result.REFUSED
    return (REJECTED if is_first else FAILED), found


def position(plan: Plan, index: int) -> str:
    """Returns the position of a step, for people."""
    return f"{index + 1} of {len(plan.steps)}: {plan.steps[index].name}"


def _failed(progress: Progress, plan: Plan) -> Done | None:
    """The step that ended the job."""
    for last, step in zip(progress.steps, plan.steps, strict=False):
        if last.result is not Result.DONE and not step.ignores_failure:
            return last
    return None


def _output(last: Done, step: Step) -> dict[str, str]:
    found = {"stderr": last.stderr}
    if step.shows_output:
        found["stdout"] = last.stdout
    return found
