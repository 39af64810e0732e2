"""What a user would otherwise build or pick, doing the same work on the same events."""
