"""Constants that several structures of the file format share."""

UNDEFINED = (1 << 64) - 1  # an address of nothing
FIRST_NAMED_FILTER = 256  # filters from this ID on carry their name
REFERENCE_BYTES = 16  # of a variable-length value in a file: length, address of its collection, index in it
LIBVER = ("v110", "v110")  # what libhdf5 writes for us: version 2 object headers, whose every part carries a checksum
LINKS_IN_HEADER = 512  # of a group; more are indexed, in files that are written at once and in edited ones
ATTRIBUTES_IN_HEADER = 256  # of an object, likewise
