"""What the user wants: use cases, profiles and the choices made on the command line."""
