"""What goes up: ``sources`` make readings, ``publisher`` sends them at QoS 1 and keeps them until AWS has them."""
