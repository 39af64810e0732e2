"""The query grammar: text to and from the syntax tree of ``schemas.query``; pure."""
