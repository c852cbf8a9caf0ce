"""The terminal screen: shows values, sends intents."""
