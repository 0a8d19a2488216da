"""The lab: a tabular world in which every estimator's effect on calibration is known exactly."""
