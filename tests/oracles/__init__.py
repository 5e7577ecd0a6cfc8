"""Float64 NumPy and SciPy oracles; nothing in this folder uses the library."""
