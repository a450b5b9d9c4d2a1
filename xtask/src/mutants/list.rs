//! The mutants, a file for each subject. A new promise gets a mutant here, with the test that must kill it.

mod access;
mod bounds;
mod capture;
mod containment;
mod crash;
mod deaths;
mod delivery;
mod dispatch;
mod errors;
mod filters;
mod flow;
mod house;
mod identity;
mod limits;
mod log;
mod matching;
mod order;
mod scheduled;
mod schedules;
mod set_aside;
mod shares;
mod splits;
mod tenant;
mod watches;

use super::mutant::Mutant;

/// All mutants. Those tested inside PostgreSQL come last: each switch costs a compilation of pgrx.
pub fn all() -> impl Iterator<Item = &'static Mutant> {
    [
        bounds::MUTANTS,
        log::MUTANTS,
        delivery::MUTANTS,
        dispatch::MUTANTS,
        schedules::MUTANTS,
        containment::MUTANTS,
        crash::MUTANTS,
        matching::MUTANTS,
        filters::MUTANTS,
        splits::MUTANTS,
        flow::MUTANTS,
        order::MUTANTS,
        scheduled::MUTANTS,
        tenant::MUTANTS,
        errors::MUTANTS,
        deaths::MUTANTS,
        set_aside::MUTANTS,
        shares::MUTANTS,
        capture::MUTANTS,
        limits::MUTANTS,
        identity::MUTANTS,
        watches::MUTANTS,
        house::MUTANTS,
        access::MUTANTS,
    ]
    .into_iter()
    .flatten()
}
