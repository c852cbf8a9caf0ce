"""A rig that is only described and a model made on the spot, so that everything can be tried with no GPU and no download."""
