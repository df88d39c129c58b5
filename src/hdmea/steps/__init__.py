"""The steps of a pipeline, the table of them, and how any of them is run."""
