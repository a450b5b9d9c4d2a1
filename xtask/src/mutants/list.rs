//! The mutants, a file for each subject. A new promise gets its mutant here, with the test that it must not survive.

mod access;
mod bounds;
mod capture;
mod containment;
mod crash;
mod deaths;
mod delivery;
mod errors;
mod house;
mod identity;
mod limits;
mod log;
mod matching;
mod shares;
mod tenant;

use super::mutant::Mutant;

/// All mutants. Those whose tests run inside PostgreSQL come last: going to and fro costs a compilation of pgrx each
/// time.
pub fn all() -> impl Iterator<Item = &'static Mutant> {
    [
        bounds::MUTANTS,
        log::MUTANTS,
        delivery::MUTANTS,
        containment::MUTANTS,
        crash::MUTANTS,
        matching::MUTANTS,
        tenant::MUTANTS,
        errors::MUTANTS,
        deaths::MUTANTS,
        shares::MUTANTS,
        capture::MUTANTS,
        limits::MUTANTS,
        identity::MUTANTS,
        house::MUTANTS,
        access::MUTANTS,
    ]
    .into_iter()
    .flatten()
}
