"""All facts, in the order in which the report has them."""

from fleet_acceptance.facts import (
    credentials,
    jobs,
    orders,
    own_ca,
    provisioning,
    rarely,
    sessions,
    templates,
)
from fleet_acceptance.facts.fact import Fact

FACTS: tuple[Fact, ...] = (
    *provisioning.FACTS,
    *templates.FACTS,
    *sessions.FACTS,
    *jobs.FACTS,
    *orders.FACTS,
    *credentials.FACTS,
    *own_ca.FACTS,
    *rarely.FACTS,
)
BY_ID = {fact.id: fact for fact in FACTS}
