"""The device's own facts: settings' ``parameters`` → values for the provisioning template.

``examine`` finds every value, or the reason why there is none; ``resolve`` wants all of them. Readers take
the root of the file system, so that a tree of ordinary files can stand in for a device.
"""

from fleet_agent.device.parameters import Parameter, Unusable, examine, finder, resolve

__all__ = ["Parameter", "Unusable", "examine", "finder", "resolve"]
