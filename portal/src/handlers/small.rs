//! Pages and files that need no log: the first page, help, the language, the quick exit, files of the program.

use sillage_words::words::pick;

use super::{Answered, LANG, Portal, Trouble};
use crate::pages;
use crate::view::fields;
use crate::view::home::{HomeView, WelcomeView};
use crate::web::Asked;
use crate::web::answer;

/// The verifier in JavaScript: the very file that the gateway serves.
const VERIFIER: &str = include_str!("../../../gateway/portal/verify.js");
/// Where the quick exit leads: a page that says nothing of health.
const EXIT: &str = "https://www.meteofrance.com/";

impl Portal {
    pub(super) async fn home(&self, asked: &Asked) -> Answered {
        let Some(visit) = self.visitor(asked).transpose()? else {
            let login = pick(self.lang(asked), "votre compte", "your account").into();
            let view = WelcomeView { login, next: String::new() };
            let markup = pages::home::welcome(&self.chrome(asked, None), &view);
            return Ok(self.page(markup));
        };
        let view = HomeView { may_decide: true, ..HomeView::default() };
        Ok(self.page(pages::home::home(&self.chrome(asked, Some(&visit)), &view)))
    }

    pub(super) fn small(&self, asked: &Asked, segments: &[&str]) -> Answered {
        let visit = self.visitor(asked).and_then(Result::ok);
        let chrome = self.chrome(asked, visit.as_ref());
        const SCRIPT: &str = "text/javascript; charset=utf-8";
        match segments {
            ["aide"] => Ok(self.page(pages::help::help(&chrome))),
            ["accessibilite"] => Ok(self.page(pages::help::accessibility(&chrome))),
            ["style.css"] => Ok(answer::asset("text/css; charset=utf-8", pages::STYLE)),
            ["icone.svg"] => Ok(answer::asset("image/svg+xml", pages::ICON)),
            ["verify.js"] => Ok(answer::asset(SCRIPT, VERIFIER)),
            ["verifier.js"] => Ok(answer::asset(SCRIPT, pages::verify::SCRIPT)),
            ["sortie"] => {
                let mut out = answer::see_other(EXIT);
                self.cookies.end(&mut out, super::visit::COOKIE);
                Ok(out)
            }
            _ => Err(Trouble::NotFound),
        }
    }

    /// The language, for as long as the browser is open. It is no secret, and needs no session.
    pub(super) fn change_language(&self, asked: &Asked) -> Answered {
        let form = asked.form()?;
        if !asked.is_from(&self.config.base) {
            return Err(Trouble::FormOutOfDate);
        }
        let lang = crate::login::lang_of(form.text(fields::LANG));
        let mut out = answer::see_other(back_to(form.text(fields::BACK)));
        self.cookies.set(&mut out, LANG, lang.as_str()).map_err(|_| Trouble::FormOutOfDate)?;
        Ok(out)
    }
}

/// A path of this site, and nothing else.
fn back_to(text: &str) -> &str {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/-._".contains(c);
    let is_path = text.starts_with('/') && !text.contains("//") && text.len() <= 100 && text.chars().all(is_plain);
    if is_path { text } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::back_to;

    #[test]
    fn a_change_of_language_leads_back_to_this_site() {
        assert_eq!(back_to("/trace/12"), "/trace/12");
        for other in ["", "//evil.example", "https://evil.example", "/\\evil.example", "/a b", "/trace?personne=x"] {
            assert_eq!(back_to(other), "/", "{other}");
        }
    }
}
