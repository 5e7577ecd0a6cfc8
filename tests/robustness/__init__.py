"""The robustness sweep: every public callable and every command, called with what it cannot take."""
