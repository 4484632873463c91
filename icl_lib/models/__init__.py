"""What is trained or written by hand: one linear layer, GPT-style transformers, constructions."""
