"""The state directory as a whole: whose it is, who may write there now, what lies in it, and on what file system."""
