"""CANONICAL TOPICS OUT: routing, dead letters, the transactional producer, topic administration."""
