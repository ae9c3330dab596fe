//! The published messages (`proto/proto/sillage/v1`): others write clients from these files alone, so each call, field and value says what
//! it means.

use std::path::Path;

/// Adds a finding for each call, field and value without a comment on its line or on the line before.
pub fn check(root: &Path, findings: &mut Vec<String>) {
    let folder = "proto/proto/sillage/v1";
    let mut files: Vec<_> =
        std::fs::read_dir(root.join(folder)).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    files.sort();
    if files.is_empty() {
        findings.push(format!("{folder}:1: no published message is there"));
    }
    for file in files {
        let name = file.strip_prefix(root).unwrap_or(&file).display().to_string();
        match std::fs::read_to_string(&file) {
            Ok(text) => bare(&text).for_each(|(line, what)| {
                findings.push(format!("{name}:{line}: say what `{what}` means, in a comment on its line"));
            }),
            Err(error) => findings.push(format!("{name}:1: can't be read: {error}")),
        }
    }
}

/// Lines (from 1) whose call, field or value has no comment, with its name.
fn bare(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut was_comment = false;
    text.lines().enumerate().filter_map(move |(line, text)| {
        let is_after_comment = std::mem::replace(&mut was_comment, text.trim().starts_with("//"));
        let has_comment = is_after_comment || text.contains("//");
        declared(text).filter(|_| !has_comment).map(|name| (line + 1, name))
    })
}

/// The name that a line declares: of a call, a field or a value.
fn declared(line: &str) -> Option<&str> {
    let line = line.trim();
    if let Some(call) = line.strip_prefix("rpc ") {
        return call.split('(').next();
    }
    // A message of one line holds its field.
    let line = match line.strip_prefix("message ") {
        Some(message) => message.split_once('{')?.1.trim(),
        None => line,
    };
    let (left, right) = line.split_once(" = ")?;
    let is_numbered = right.split(';').next().is_some_and(|number| number.parse::<u32>().is_ok());
    left.split_whitespace().last().filter(|_| is_numbered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_comment_is_named() {
        let text = "syntax = \"proto3\";\nservice S {\n  rpc Get(A) returns (B);\n}\nmessage A { bytes x = 1; }\nmessage B {\n  \
                    // both ends\n  uint64 from = 1;\n  uint64 to = 2;\n  repeated C all = 3; // three\n}\nenum C {\n  C_NONE = 0;\n}\n\
                    message D { bytes y = 1; } // four\nmessage E {}\n";
        let found: Vec<_> = bare(text).collect();
        assert_eq!(found, [(3, "Get"), (5, "x"), (9, "to"), (13, "C_NONE")]);
    }
}
