"""Speed, measured side by side: floor, peers and us in one run on one machine."""
