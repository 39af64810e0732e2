"""The contracts: what comes in, what is stored, what goes out.

Pure: no I/O, no clock, nothing of ``processor``. Read this package first.
"""
