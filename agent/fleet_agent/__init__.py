"""Device agent for AWS IoT fleet provisioning by claim.

Read it in this order: ``app`` joins the parts; ``provisioning.machine`` decides the walk from claim to identity;
``provisioning.runner`` does what the machine decided; ``credentials.store`` keeps the result; ``session.mqtt`` and
``telemetry`` use it.
"""

__version__ = "0.1.0"
