"""What a model file says it needs, read from its header alone."""
