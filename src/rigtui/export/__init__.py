"""A profile and its plan in the formats of other tools."""
