"""What upstream services put on the bus: the envelope and one module per raw topic."""
