"""What each step of `migrations` tells the database, by the noun it is for."""
