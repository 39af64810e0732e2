"""The lane protocol on virtual time: the product's own code against a fake bus and a fake store."""
