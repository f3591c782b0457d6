"""The definitions that the steps of `migrations` take, by noun."""
