//! Values of variable length, and their sizes.

use pgrx::pg_sys;
use pgrx::varlena::{varatt_is_1b, varatt_is_1b_e, varatt_is_4b_u, varsize_any_exhdr};

/// Returns whether the value is stored in place, neither compressed nor out of line.
///
/// # Safety
/// `value` is a varlena, wherever it is stored.
pub unsafe fn is_plain(value: *const pg_sys::varlena) -> bool {
    // SAFETY: by the contract.
    unsafe { varatt_is_4b_u(value) || varatt_is_1b(value) && !varatt_is_1b_e(value) }
}

/// Returns the bytes of the value, without the header. Fetches and decompresses nothing.
///
/// # Safety
/// `value` is a varlena, wherever it is stored.
pub unsafe fn raw_size(value: pg_sys::Datum) -> usize {
    // SAFETY: by the contract.
    unsafe {
        let stored: *const pg_sys::varlena = value.cast_mut_ptr();
        if is_plain(stored) {
            return varsize_any_exhdr(stored);
        }
        pg_sys::toast_raw_datum_size(value).saturating_sub(pg_sys::VARHDRSZ)
    }
}
