"""Mutated inputs by the million: nothing but a value or a typed error may come back."""
