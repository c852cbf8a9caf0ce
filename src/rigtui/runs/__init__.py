"""Launch, observe, remember: runs on disk, their supervisor and their results."""
