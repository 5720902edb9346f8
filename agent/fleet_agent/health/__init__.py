"""Problems: the table of all, and the status that shows the current ones."""
