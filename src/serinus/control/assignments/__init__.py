"""Who is on which side: asked for and put there by hand, stored on arrival, and seen there."""
