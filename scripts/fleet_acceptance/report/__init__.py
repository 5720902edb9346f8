"""What a run found: kept as JSON without a secret, said in words, compared with another."""
