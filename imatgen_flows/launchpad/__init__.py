"""The embedded LaunchPad: a small database server with MongoDB's wire protocol, for one machine.

FireWorks and maggma use it unchanged, with host, port, user and password. It is for tests and small campaigns, a few
thousand fireworks: everything is in one file, without replication or encryption. Production is MongoDB.
"""

from imatgen_flows.launchpad.control import Endpoint, Status, prepare, start, status, stop

__all__ = ["Endpoint", "Status", "prepare", "start", "status", "stop"]
