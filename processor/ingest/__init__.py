"""RECORDS IN: the consumer and the decoder."""
