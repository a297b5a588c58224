"""What lies between the program and its machine: files written whole, files of others, locks, signals, text of a terminal."""
