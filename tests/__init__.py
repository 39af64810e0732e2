"""The tests: a folder for each kind, of which CONTRIBUTING.md says what it holds."""
