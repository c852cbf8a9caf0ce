"""The graph that llama.cpp computes for one micro-batch, and what it needs of memory: tensors, devices, allocator, architectures."""
