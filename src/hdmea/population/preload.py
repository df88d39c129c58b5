"""Modules of every process that reads a recording, loaded once by the server that those processes are forked from.

Loading scipy's filters takes as long as half of what else there is to do for a recording.
"""

from scipy import signal as signal

from hdmea.population import parts as parts
