# Packages write anywhere, create users and start services; this forbids what no package needs.
PrivateTmp=yes
ProtectHome=read-only
ProtectClock=yes
ProtectKernelLogs=yes
ProtectKernelTunables=yes
LockPersonality=yes
RestrictRealtime=yes
SystemCallArchitectures=native
