"""Threads, their buffers, the garbage collector, durable files, locks, instruction sets."""
