"""Two towers that share a space, and heads on their embeddings."""
