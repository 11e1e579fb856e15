"""Who may do what: principals, permissions, the decision (pure), and how often (rate limits, address lists)."""
