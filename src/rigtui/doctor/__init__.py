"""Is this rig ready, and if not, which command mends it."""
