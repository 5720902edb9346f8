"""AWS IoT Jobs: taken one at a time, carried out by handlers, and answered until AWS has the end."""
