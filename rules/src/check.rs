//! Bounds of fields, which records and requests share.

use sillage_proto::v1;

use crate::error::RecordError;
use crate::limits::*;

/// The outcome of a check.
pub(crate) type Checked = Result<(), RecordError>;

pub(crate) fn authentication(auth: Option<&v1::Authentication>) -> Checked {
    let Some(auth) = auth else {
        return Ok(());
    };
    line("auth.issuer", &auth.issuer, ID_BYTES_MAX)?;
    line("auth.method", &auth.method, ID_BYTES_MAX)?;
    if !["", "low", "substantial", "high"].contains(&auth.eidas_level.as_str()) {
        let why = "an eIDAS level is low, substantial or high";
        return Err(RecordError::malformed("auth.eidas_level", why));
    }
    Ok(())
}

pub(crate) fn check_actor(actor: &v1::Actor) -> Checked {
    if actor.id.is_empty() && actor.label.is_empty() {
        return Err(RecordError::malformed("id", "an actor has an id, or at least a label"));
    }
    line("system", &actor.system, ID_BYTES_MAX)?;
    line("id", &actor.id, ID_BYTES_MAX)?;
    line("role", &actor.role, TOKEN_BYTES_MAX)?;
    line("organisation", &actor.organisation, ID_BYTES_MAX)?;
    line("label", &actor.label, LABEL_BYTES_MAX)
}

pub(crate) fn check_item(item: &v1::Item) -> Checked {
    if item.id.is_empty() && item.category.is_empty() && item.label.is_empty() {
        return Err(RecordError::malformed("id", "an item has an id, a category or a label"));
    }
    line("id", &item.id, ID_BYTES_MAX)?;
    line("category", &item.category, TOKEN_BYTES_MAX)?;
    at_most("labels", item.labels.len(), ITEM_LABELS_MAX)?;
    for (position, label) in item.labels.iter().enumerate() {
        let path = format!("labels[{position}]");
        required(&path, label)?;
        line(&path, label, TOKEN_BYTES_MAX)?;
    }
    line("depositor", &item.depositor, ID_BYTES_MAX)?;
    line("label", &item.label, LABEL_BYTES_MAX)
}

pub(crate) fn check_correlation(correlation: &v1::Correlation) -> Checked {
    line("launch_context", &correlation.launch_context, ID_BYTES_MAX)?;
    at_most("ids", correlation.ids.len(), CORRELATION_IDS_MAX)?;
    for (position, id) in correlation.ids.iter().enumerate() {
        let path = format!("ids[{position}]");
        required(&path, id)?;
        line(&path, id, ID_BYTES_MAX)?;
    }
    Ok(())
}

/// Text on one line: no control character.
pub(crate) fn line(path: &str, value: &str, bytes_max: usize) -> Checked {
    if value.len() > bytes_max {
        return Err(too_long(path, value.len(), bytes_max));
    }
    if value.chars().any(char::is_control) {
        return Err(RecordError::malformed(path, "holds a control character"));
    }
    Ok(())
}

/// Text that may have several lines.
pub(crate) fn text(path: &str, value: &str, bytes_max: usize) -> Checked {
    if value.len() > bytes_max {
        return Err(too_long(path, value.len(), bytes_max));
    }
    if value.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return Err(RecordError::malformed(path, "holds a control character"));
    }
    Ok(())
}

/// A code: visible ASCII without spaces.
pub(crate) fn code(path: &str, value: &str) -> Checked {
    if value.len() > TOKEN_BYTES_MAX {
        return Err(too_long(path, value.len(), TOKEN_BYTES_MAX));
    }
    if !value.bytes().all(|byte| byte.is_ascii_graphic()) {
        let why = "a code has visible ASCII characters and no spaces";
        return Err(RecordError::malformed(path, why));
    }
    Ok(())
}

pub(crate) fn required(path: &str, value: &str) -> Checked {
    if value.is_empty() {
        return Err(RecordError::malformed(path, "missing"));
    }
    Ok(())
}

pub(crate) fn at_most(path: &str, len: usize, max: usize) -> Checked {
    if len > max {
        return Err(RecordError::malformed(path, format!("{len} of them, and at most {max}")));
    }
    Ok(())
}

pub(crate) fn too_long(path: &str, len: usize, max: usize) -> RecordError {
    RecordError::malformed(path, format!("{len} bytes, and at most {max}"))
}
