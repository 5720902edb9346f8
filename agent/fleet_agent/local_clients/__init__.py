"""Programs of this device that connect to the agent: the door, who they are, who has a place, how one is sent off."""
