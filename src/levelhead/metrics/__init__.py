"""Calibration, overconfidence, selective prediction and trust: functions from arrays to numbers.

Every function takes `confidence` (N,) in [0, 1] and `correct` (N,) in [0, 1] (0 or 1; 0.5 counts half),
optional `weights` (N,), and returns a float or a frozen result. Numpy only; nothing is cached.
"""
