"""Breaks the agent's code in small ways, one at a time, and reports which of them no unit test notices."""
