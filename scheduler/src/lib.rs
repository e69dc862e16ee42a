//! A job graph, run in parallel under one token pool.
