//! Tests only: one change somewhere in a good document.

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

/// Where, step by step, and what stands there then.
pub(super) fn any_change() -> impl Strategy<Value = (Vec<Index>, Value)> {
    let path = proptest::collection::vec(any::<Index>(), 1..7);
    let values = [
        Value::Null,
        json!([]),
        json!({}),
        json!(""),
        json!(5),
        json!([{}]),
        json!("Patient"),
        json!({"reference": "Patient/"}),
        json!({"reference": "#p"}),
        json!("2026-02-30"),
        json!("permit"),
        json!({"type": "deny"}),
    ];
    let value = prop_oneof![
        3 => proptest::sample::select(values.to_vec()),
        1 => ".{0,20}".prop_map(Value::from),
    ];
    (path, value)
}

/// Puts `value` at the end of the path; the path ends early where nothing is inside.
pub(super) fn replace_at(at: &mut Value, path: &[Index], value: Value) {
    let next = match (path, &mut *at) {
        ([step, rest @ ..], Value::Object(object)) if !object.is_empty() => {
            let place = step.index(object.len());
            object.values_mut().nth(place).zip(Some(rest))
        }
        ([step, rest @ ..], Value::Array(items)) if !items.is_empty() => {
            let place = step.index(items.len());
            items.get_mut(place).zip(Some(rest))
        }
        _ => None,
    };
    match next {
        Some((inner, rest)) => replace_at(inner, rest, value),
        None => *at = value,
    }
}
