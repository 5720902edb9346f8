"""The device's own credentials: values, keys, the store that keeps generations, the ledger of certificates."""
