from hdmea.pipeline import *  # noqa: F403
