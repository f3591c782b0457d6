"""The parts of a transaction, one for each noun: its statements, rows and verbs."""
