"""What has to be true before a release moves: the guard's checks, and the release that they look for."""
