"""What a finished model is asked: linear probes, and losses that any predictor can be given."""
