"""The read side: the audit log page and the API, behind one access check."""
