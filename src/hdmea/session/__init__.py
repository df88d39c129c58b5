"""Sessions: what they hold, their file and its layout, their memory. They know no step."""
