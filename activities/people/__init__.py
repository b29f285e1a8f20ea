"""Who people are: directories in a file or on a SCIM server, and the activity that asks them."""
