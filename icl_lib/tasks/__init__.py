"""What goes in: prompts, the laws they are drawn from, and the matrix E they are packed into."""
