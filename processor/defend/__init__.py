"""SUBSCRIBER 2: Defend, the security dashboard, and the one application of Faust.

``rules`` decides, purely, what a set of entries and endpoint alerts means; ``detector`` brings the
sets together, with Postgres as the one place where they are kept; ``app`` is the Faust application
that reads the topics.
"""
