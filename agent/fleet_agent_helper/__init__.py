"""What an order needs root for: one request of the agent's user, one program of root's, one transient unit.

Run as root by systemd, once for each connection. So it is small, needs the standard library alone and shares nothing
with the agent: what comes over the connection is data of a lesser user.
"""
