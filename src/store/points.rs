//! The points of dispatch at which the torture may kill the worker.

use crate::failpoint;
use herald_dispatch::store::Point;

/// Passes points of dispatch on by the names that the torture knows.
pub fn reached(point: Point) {
    failpoint::reached(match point {
        Point::AfterRead => "after_read",
        Point::AfterFlush => "after_flush",
        Point::MidSlice => "mid_slice",
        Point::AfterClaim => "after_claim",
        Point::AfterSpill => "after_spill",
        Point::BeforeRecord => "before_record",
        Point::AfterRecord => "after_record",
    });
}
