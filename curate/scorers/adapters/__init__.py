"""Networks and metrics of others, as they are."""
