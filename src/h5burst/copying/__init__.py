"""Files copied object by object, as they are: whatever is in the source is in the copy, at other addresses."""
