//! The event as an expression sees it.

use std::collections::BTreeMap;

use super::value::Value;

/// The attributes of an event, the extensions among them.
///
/// ```
/// use herald_core::filter::cesql::{Attributes, Expression, Value};
///
/// struct Order {
///     id: String,
///     level: i32,
/// }
///
/// impl Attributes for Order {
///     fn get(&self, name: &str) -> Option<Value<'_>> {
///         match name {
///             "id" => Some(self.id.as_str().into()),
///             "type" => Some("order.paid".into()),
///             "level" => Some(self.level.into()),
///             _ => None,
///         }
///     }
/// }
///
/// let order = Order { id: "42".into(), level: 3 };
/// assert!(Expression::parse("id = 42 AND type LIKE 'order.%' AND level < 4").unwrap().is_true(&order));
/// ```
pub trait Attributes {
    /// Returns an attribute's value, or `None` if the event lacks the attribute.
    ///
    /// The name is in lower case. An expression asks each time that it names the attribute, so the answer must be
    /// quick.
    fn get(&self, name: &str) -> Option<Value<'_>>;
}

impl Attributes for BTreeMap<String, Value<'_>> {
    fn get(&self, name: &str) -> Option<Value<'_>> {
        self.get(name).map(Value::borrowed)
    }
}
