"""Private keys in hardware tokens, through PKCS#11."""
