"""What `defend` counts."""
