"""Other programs: started with little, limited in time and output, and never by a fork of this process."""
