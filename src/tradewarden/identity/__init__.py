"""Registered services and their client secrets; the admin token. People come later."""
