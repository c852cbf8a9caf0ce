"""llama.cpp: what it needs, what it decides, how it is started and what it says."""
