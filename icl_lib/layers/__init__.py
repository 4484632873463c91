"""What computes: attention as pure functions, with thin modules on top."""
