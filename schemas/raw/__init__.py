"""What upstream services put on the bus: the envelope and one module per raw topic."""

FAMILIES = ("identity", "permission", "billing", "audit")
"""Of raw events: each has a module here and a topic, and is the first word of its types' names."""
