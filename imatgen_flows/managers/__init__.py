"""Managers: they run a flow on this machine, through FireWorks, or through jobflow-remote."""
