"""The ops in plain torch: the definition of right. Any device, float32 and float64."""
