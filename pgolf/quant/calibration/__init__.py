"""Options of the config group quant/calibration: which text the inputs of linear maps are measured on."""
