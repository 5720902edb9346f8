"""The way to AWS IoT: the steps of ``session.probe`` as findings, and whether other ports would work."""

import socket

from fleet_agent.credentials.model import KeyPair
from fleet_agent.doctor.finding import Findings, Subject
from fleet_agent.session import probe
from fleet_agent.session.probe import Stage
from fleet_agent.session.route import ALPN_PORT, Route

_ABOUT = Subject("way to AWS IoT")
_PORTS = (8883, ALPN_PORT)
# The doctor's own codes for what a session reports under others.
_CODES = {Stage.NAME: "name-unknown", Stage.PORT: "port-closed"}


def check(route: Route, pair: KeyPair | None, now: float) -> Findings:
    """Tries each step until one fails.

    Args:
        route: The way to the endpoint.
        pair: The certificate to present, which AWS's servers request; None if there is none.
        now: Unix seconds.
    """
    where = f"{route.host}:{route.port}"
    for step in probe.steps(route, pair, now):
        if step.error is None:
            yield _ABOUT.ok(step.seen, route.host if step.stage is Stage.NAME else where)
        else:
            error = step.error
            place = route.proxy_address if step.stage is Stage.PROXY else where
            code = _CODES.get(step.stage, error.code)
            yield _ABOUT.failed(code, error.title, place, error.remedy)
        if step.stage is Stage.PORT:
            yield from _other_ports(route)


def _other_ports(route: Route) -> Findings:
    for port in _PORTS:
        if port == route.port:
            continue
        where = f"{route.host}:{port}"
        try:
            socket.create_connection((route.host, port), timeout=probe.STEP_LIMIT).close()
        except OSError:
            title = f"TCP {port} does not answer; this agent does not use it."
            yield _ABOUT.note("other-port-closed", title, where)
        else:
            yield _ABOUT.ok(f"TCP {port} answers.", where)
