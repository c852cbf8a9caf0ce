"""Real llama.cpp on virtual GPUs; README.md says how it works."""
