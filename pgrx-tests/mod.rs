//! The suites that run inside PostgreSQL, each test in a transaction of its own that is rolled back.

mod capture;
