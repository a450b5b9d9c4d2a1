//! pg_herald
pgrx::pg_module_magic!();
