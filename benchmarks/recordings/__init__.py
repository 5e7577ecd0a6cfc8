"""What the authors of *Blink of an eye* published of their recordings, taken through the library."""
