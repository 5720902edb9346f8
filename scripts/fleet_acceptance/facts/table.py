"""All facts, in the order in which the report has them."""

from fleet_acceptance.facts import credentials, jobs, orders, provisioning, sessions, templates
from fleet_acceptance.facts.fact import Fact

FACTS: tuple[Fact, ...] = (
    *provisioning.FACTS,
    *templates.FACTS,
    *sessions.FACTS,
    *jobs.FACTS,
    *orders.FACTS,
    *credentials.FACTS,
)
BY_ID = {fact.id: fact for fact in FACTS}
