"""What a course needs around the science: plots, figures with a slider, a check of the machine."""
