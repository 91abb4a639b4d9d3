//! A PostgreSQL server of one test's own, for tests that stop it.
