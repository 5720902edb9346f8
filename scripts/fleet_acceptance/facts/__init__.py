"""What is to be known of AWS IoT Core, as one table: each fact with what is said of it, and what follows from it."""
