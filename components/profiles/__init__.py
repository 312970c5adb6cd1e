"""What a user's past says about the user: tastes that a person can read, and how an item fits them."""
