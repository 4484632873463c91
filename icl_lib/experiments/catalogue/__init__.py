"""What is trained with which settings: every named run, a folder apart from where they are kept."""
