"""Closed forms, differential equations and textbook algorithms: NumPy float64, no torch."""
