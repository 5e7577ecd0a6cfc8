"""What sloc is compared with: the same numbers as a script would get them, and as a careful user would."""
