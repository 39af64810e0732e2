"""EVENTS BECOME ENTRIES: pure functions, one module per raw topic."""
