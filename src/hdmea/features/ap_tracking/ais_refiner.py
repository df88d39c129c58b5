"""The path by which scripts import what refines a network's predictions; it raises when called."""

from hdmea.features.ap_tracking.absent import absent

ais_refiner = absent("ais_refiner")
soma_refiner = absent("soma_refiner")
