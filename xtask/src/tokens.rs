//! The words and marks of a Rust source, without comments and without the insides of strings.

/// A word, or a mark. A path's `::` is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub text: String,
    /// Counted from 1.
    pub line: usize,
}

/// Splits a source. A plain string stays one token, with its quotes; other literals are left out.
pub fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut at = 0;
    while at < chars.len() {
        let rest = &chars[at..];
        let length = match rest {
            ['/', '/', ..] => rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()),
            ['/', '*', ..] => block_comment(rest),
            ['r' | 'b' | 'c', '"' | '#' | 'r', ..] if raw_string(rest).is_some() => raw_string(rest).unwrap_or(1),
            ['b' | 'c', '"', ..] => 1 + quoted(&rest[1..], '"'),
            ['"', ..] => {
                let length = quoted(rest, '"');
                tokens.push(Token { text: rest[..length].iter().collect(), line });
                length
            }
            ['\'', '\\', ..] | ['\'', _, '\'', ..] => quoted(rest, '\''),
            [':', ':', ..] => {
                tokens.push(Token { text: "::".to_owned(), line });
                2
            }
            [c, ..] if is_word(*c) => {
                let length = rest.iter().position(|c| !is_word(*c)).unwrap_or(rest.len());
                tokens.push(Token { text: rest[..length].iter().collect(), line });
                length
            }
            [c, ..] => {
                if !c.is_whitespace() {
                    tokens.push(Token { text: c.to_string(), line });
                }
                1
            }
            [] => break,
        };
        line += rest[..length].iter().filter(|c| **c == '\n').count();
        at += length;
    }
    tokens
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The length of a comment that may hold others.
fn block_comment(rest: &[char]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => {
                depth += 1;
                at += 2;
            }
            ['*', '/', ..] => {
                depth -= 1;
                at += 2;
            }
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length of `r"…"`, `br#"…"#` and the like.
fn raw_string(rest: &[char]) -> Option<usize> {
    let r = rest.iter().take(2).position(|c| *c == 'r')?;
    let hashes = rest[r + 1..].iter().take_while(|c| **c == '#').count();
    let start = r + 1 + hashes;
    if rest.get(start) != Some(&'"') {
        return None;
    }
    let mut at = start + 1;
    while at < rest.len() {
        let closes = rest[at] == '"' && rest[at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes;
        at += 1;
        if closes {
            return Some(at + hashes);
        }
    }
    Some(rest.len())
}

/// The length of a literal between quotes.
fn quoted(rest: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            c if c == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_comments_are_passed_over() {
        let text = "a // b\n'c' '\\'' 'd /* e /* f */ g */ r#\"h \" i\"# b\"j\" \"k\\\"\" l::m";
        let words: Vec<String> = tokens(text).into_iter().map(|t| t.text).collect();
        assert_eq!(words, ["a", "'", "d", "\"k\\\"\"", "l", "::", "m"]);
        assert_eq!(tokens(text).last().map(|t| t.line), Some(2));
    }
}
