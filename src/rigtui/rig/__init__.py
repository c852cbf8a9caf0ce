"""What this machine has: immutable readings of GPUs, RAM, CPU and platform."""
