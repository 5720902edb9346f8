"""What runs in AWS Lambda before a device is registered; :mod:`fleet_cloud.plan.hooks` packs and uploads it.

Standard library and botocore, as Lambda has them. What stands in the registry, and how a thing is named, the companion
reads with the same code.
"""

SETTINGS = "RULES"  # the environment variable with what the companion sets
LIST = "allow.json"  # the serial numbers of a list, beside the code
