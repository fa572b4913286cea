"""The main job, for real and in compressed time: a good release walks, a bad one is caught and told."""
