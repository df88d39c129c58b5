"""Memory: the budget, the scratch file beyond it, and what is in use."""
