"""What a window is good for: four uses of it in sampling from trained models of digits, with numbers."""
