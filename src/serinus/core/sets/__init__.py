"""Release sets: what follows for one (:mod:`.deciding`), what people ask of one (:mod:`.moves`)."""
