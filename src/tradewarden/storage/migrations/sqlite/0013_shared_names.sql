CREATE TABLE service_shares (
    name TEXT NOT NULL,
    service_name TEXT NOT NULL,
    PRIMARY KEY (name, service_name)
) WITHOUT ROWID;

CREATE INDEX service_shares_by_service ON service_shares (service_name);

INSERT INTO service_shares (name, service_name)
SELECT listed.value, service_name FROM services, json_each(services.dns_names) AS listed WHERE listed.value LIKE '.%'
UNION
SELECT listed.value, service_name FROM services, json_each(services.ip_addresses) AS listed;
