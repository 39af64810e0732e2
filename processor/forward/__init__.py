"""SUBSCRIBER 1: each organization's entries on its SIEM topics, in order of ``seq``, exactly once.

``forwarder`` shares the shards among instances, ``shard`` is the protocol, ``messages`` what is
sent, ``control`` what an owner or operator orders.
"""
