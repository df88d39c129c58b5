"""Writing files: checks before the first byte, whole new files, edits."""
