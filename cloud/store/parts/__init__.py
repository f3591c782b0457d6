"""What a transaction is made of: one part for each group of nouns."""
