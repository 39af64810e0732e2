"""POSTGRES: nothing else imports asyncpg."""
