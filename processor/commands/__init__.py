"""The commands of ``hub-audit``, one module each; ``processor.cli`` gathers them."""
