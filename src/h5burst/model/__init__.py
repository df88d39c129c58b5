"""The tree that every file is: its nodes, Python values as nodes, tagged JSON, and errors."""
