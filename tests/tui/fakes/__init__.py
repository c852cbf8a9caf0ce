"""A rig, models, plans and runs made by hand, and services that answer with them at once."""
