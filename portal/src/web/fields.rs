//! The fields of a query or of a form, `application/x-www-form-urlencoded`.

/// Most fields.
const FIELDS_MAX: usize = 64;
/// Most bytes of one value, once it is read.
const VALUE_BYTES_MAX: usize = 16 << 10;
const NAME_BYTES_MAX: usize = 64;

/// Fields, in the order in which they came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// Reads them; `None` where they are too many, too long, or not UTF-8.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut out = Vec::new();
        for pair in text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            let at = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
            let (name, value) = (decoded(&pair[..at])?, decoded(pair.get(at + 1..).unwrap_or_default())?);
            if out.len() == FIELDS_MAX || name.len() > NAME_BYTES_MAX || value.len() > VALUE_BYTES_MAX {
                return None;
            }
            out.push((name, value));
        }
        Some(Self(out))
    }

    /// A field without the blanks around it; empty where it isn't there. Of several, the first.
    pub fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(own, _)| own == name).map_or("", |(_, value)| value.trim())
    }

    /// Whether a box is ticked.
    pub fn is_set(&self, name: &str) -> bool {
        !self.text(name).is_empty()
    }

    /// All values of a field that aren't blank.
    pub fn all(&self, name: &str) -> Vec<String> {
        let own = self.0.iter().filter(|(own, value)| own == name && !value.trim().is_empty());
        own.map(|(_, value)| value.trim().to_owned()).collect()
    }

    /// Every field.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

fn decoded(text: &[u8]) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || rest.next().and_then(|digit| char::from(*digit).to_digit(16));
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            byte => *byte,
        });
    }
    String::from_utf8(out).ok()
}

/// A value as it stands in a query.
pub fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            byte => out += &format!("%{byte:02X}"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_browsers_write_them() {
        let fields = Fields::parse("a=1&b=d%C3%A9c%C3%A8s+%26+%2B&a=2&c".as_bytes()).expect("fields");
        assert_eq!((fields.text("a"), fields.text("b"), fields.text("c")), ("1", "décès & +", ""));
        assert_eq!(fields.all("a"), ["1", "2"]);
        assert_eq!(Fields::parse(encoded("a=&é +").as_bytes()).expect("one").iter().next(), Some(("a=&é +", "")));
    }

    #[test]
    fn what_is_no_form_or_too_large_is_refused() {
        assert_eq!(Fields::parse(b"a=%f"), None);
        assert_eq!(Fields::parse(b"a=%zz"), None);
        assert_eq!(Fields::parse(b"a=%ff"), None, "not UTF-8");
        assert_eq!(Fields::parse("a=1&".repeat(65).as_bytes()), None);
        assert_eq!(Fields::parse(format!("a={}", "x".repeat(17 << 10)).as_bytes()), None);
        assert_eq!(Fields::parse(b""), Some(Fields::default()));
    }
}
