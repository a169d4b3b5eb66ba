"""A local stand-in for Stripe: its API, its hosted pages and its webhooks, with no money and no network."""
