"""Modules of every worker of the local engine, loaded once by the server that the workers are forked from.

Loading Numba and the machine code of a compiled helper takes about a second, as long as a small recording does.
"""

from hdmea.batch import job as job
from hdmea.features import helpers
from hdmea.session.session import PipelineSession as PipelineSession

helpers.warm_up()
