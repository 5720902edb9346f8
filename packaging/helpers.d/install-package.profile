# Packages write anywhere, make users and start services; this keeps from them what no package needs.
PrivateTmp=yes
ProtectHome=read-only
ProtectClock=yes
ProtectKernelLogs=yes
ProtectKernelTunables=yes
LockPersonality=yes
RestrictRealtime=yes
SystemCallArchitectures=native
