"""Everything rigtui knows about vLLM."""
