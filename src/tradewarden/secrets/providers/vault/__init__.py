"""HashiCorp Vault and OpenBao as a provider: KV version 2, four ways to log in, a token that is kept alive."""
