CREATE INDEX join_tokens_by_service ON join_tokens (service_name, expires_at, digest);

CREATE INDEX acme_accounts_service ON acme_accounts (service_name, id);

CREATE INDEX acme_orders_service ON acme_orders (service_name, id);
