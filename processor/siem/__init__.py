"""The formats of SIEM subscriptions: how an entry reads for other people's systems."""
