//! Texts of the pages, in French and in English, side by side: one file for each group of pages.
//!
//! French is written first. Sentences have 15 words or fewer where they can; a word of the trade comes with its explanation.
//! Sentences about records aren't here: `sillage-words` makes them, and views carry them as given text.
//!
//! [`Both`] is a text in both languages, [`Phrase`] one that is ready to be written: with the spaces that French sets before `?`,
//! `!`, `:` and `;` and inside of « » kept on the line.

pub mod access;
pub mod choices;
pub mod common;
pub mod dates;
pub mod family;
pub mod help;
pub mod home;
pub mod login;
pub mod problem;
pub mod stories;
pub mod take;
pub mod trace;

use std::borrow::Cow;

use maud::Render;
use sillage_words::Lang;

use crate::view::Text;

/// A text in both languages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Both {
    /// In French.
    pub fr: &'static str,
    /// In English.
    pub en: &'static str,
}

/// A text in French and in English.
pub const fn both(fr: &'static str, en: &'static str) -> Both {
    Both { fr, en }
}

impl Both {
    /// The text in one language.
    pub fn of(self, lang: Lang) -> Phrase {
        Phrase(Cow::Borrowed(match lang {
            Lang::Fr => self.fr,
            Lang::En => self.en,
        }))
    }
}

/// A text of ours in one language. It is escaped when it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phrase(Cow<'static, str>);

impl Phrase {
    /// As it was written, with plain spaces.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Phrase {
    fn from(text: String) -> Self {
        Self(Cow::Owned(text))
    }
}

impl Render for Phrase {
    fn render_to(&self, buffer: &mut String) {
        typeset(&self.0, buffer);
    }
}

impl Render for Text {
    fn render_to(&self, buffer: &mut String) {
        typeset(self.as_str(), buffer);
    }
}

/// A space that no line is broken at.
const NBSP: char = '\u{a0}';

/// Writes a text as HTML, in an element or in an attribute: markup is escaped, and a space that must not end a line is kept.
fn typeset(text: &str, out: &mut String) {
    let mut before = ' ';
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            ' ' if matches!(before, '«' | '°') || matches!(chars.peek(), Some('?' | '!' | ':' | ';' | '»')) => {
                out.push(NBSP);
            }
            _ => out.push(char),
        }
        before = char;
    }
}

/// `1 accès`, `2 accès`: a number with the noun that goes with it.
pub fn counted(n: u64, (one, many): (Both, Both), lang: Lang) -> Phrase {
    // In French, none is singular.
    let is_one = n == 1 || (n == 0 && lang == Lang::Fr);
    let noun = if is_one { one.of(lang) } else { many.of(lang) };
    Phrase::from(format!("{}{NBSP}{}", dates::number(n, lang), noun.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_escaped_and_french_spaces_hold() {
        let html = Phrase::from("« <b> & \"c\" 'd' » : n° 4 ?".to_owned()).render().into_string();
        assert_eq!(html, "«\u{a0}&lt;b&gt; &amp; &quot;c&quot; &#39;d&#39;\u{a0}»\u{a0}: n°\u{a0}4\u{a0}?");
    }

    #[test]
    fn nouns_follow_their_number() {
        let noun = (both("ligne", "line"), both("lignes", "lines"));
        let said = |n, lang| counted(n, noun, lang).as_str().replace(NBSP, " ");
        assert_eq!((said(0, Lang::Fr), said(0, Lang::En)), ("0 ligne".into(), "0 lines".into()));
        assert_eq!((said(1, Lang::Fr), said(1234, Lang::En)), ("1 ligne".into(), "1,234 lines".into()));
        assert_eq!(said(12345, Lang::Fr), "12 345 lignes");
    }
}
