"""What is known of an object, to compare results with."""
