"""For tests in which no file is the agent's own."""

from fleet_agent.files.reserved import Reserved

NOTHING_OWN = Reserved([])
