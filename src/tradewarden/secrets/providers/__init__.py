"""Where a platform's secrets live: environment, encrypted files, Vault, AWS Secrets Manager, Tradewarden itself."""
