"""The secrets room over a Vault (`ENABLE_VAULT=true`), in place of our own store."""
