"""The path by which scripts import a neural network; its functions raise when called."""

from hdmea.features.ap_tracking.absent import absent

load_cnn_model = absent("load_cnn_model")
run_model_inference = absent("run_model_inference")
select_device = absent("select_device")
