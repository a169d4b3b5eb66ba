"""The hosted pages: what a customer would see at Stripe."""
