"""Readers of the reports that search engines write: a module an engine, on `shared` and `long_tables`."""
