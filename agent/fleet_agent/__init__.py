"""Device agent for AWS IoT fleet provisioning by claim.

Read it in this order: ``daemon.service`` is what the unit starts; ``provisioning.machine`` decides the walk from claim
to identity; ``provisioning.runner`` does what the machine decided; ``credentials.store`` keeps the result;
``daemon.loop`` carries readings up and orders down over one ``session``.
"""

__version__ = "0.1.0"
