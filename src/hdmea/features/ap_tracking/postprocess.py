"""The path by which scripts import what follows a network's predictions; it raises when called."""

from hdmea.features.ap_tracking.absent import absent

process_predictions = absent("process_predictions")
