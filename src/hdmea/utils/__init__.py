"""Small helpers of the whole package: errors, names, hashes, progress."""
