"""AlphaPulse's door: the names that its code imports, thin over Tradewarden's rooms. No logic lives here."""
