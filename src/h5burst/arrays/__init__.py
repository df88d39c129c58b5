"""Arrays: how they are cut into chunks, selections of them, and compressed sparse rows."""
