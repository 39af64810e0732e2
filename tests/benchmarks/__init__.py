"""How fast, how large, how late: measured on demand, never in the test suite."""
