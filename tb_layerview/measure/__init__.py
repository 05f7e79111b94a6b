"""One tensor to one `Measurement`. numpy (`host`) says what is true; every other engine agrees with it."""
