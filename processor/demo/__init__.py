"""A running product in one command: the generator and its terminal view."""
