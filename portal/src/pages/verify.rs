//! The verification in the browser. It is the only page with a script; the script takes its texts from this page, so that they
//! stand with all others.

use maud::{Markup, html};
use sillage_words::Lang;

use super::layout::{Content, Section, page};
use super::parts::{Labelled, Tone, notice};
use super::take::log_facts;
use crate::view::Chrome;
use crate::view::take::VerifyView;
use crate::words::{Both, take as w};

/// The page's own script, served at `/verifier.js`. It imports `/verify.js`, which is `gateway/portal/verify.js`.
pub const SCRIPT: &str = include_str!("../../assets/verifier.js");

/// Texts that the script shows: the name in the page, and the text.
const TEXTS: [(&str, Both); 10] = [
    ("working", w::WORKING),
    ("whole", w::VERDICT_WHOLE),
    ("part", w::VERDICT_PART),
    ("wrong", w::VERDICT_WRONG),
    ("away", w::VERDICT_AWAY),
    ("no-file", w::VERDICT_NO_FILE),
    ("limit", w::LIMIT),
    ("statements", w::STATEMENTS),
    ("wrong-part", w::WRONG_PART),
    ("policy", w::POLICY_USED),
];

/// The page.
pub fn verify(chrome: &Chrome, view: &VerifyView) -> Markup {
    let lang = chrome.lang;
    let title = if !view.bundles.is_empty() { w::VERIFY } else { w::VERIFY_FILE }.of(lang);
    let bundles = (!view.bundles.is_empty()).then(|| view.bundles.join(" "));
    let main = html! {
        h1 { (title) }
        p class="lead" { (w::VERIFY_LEAD.of(lang)) }
        noscript { (notice(Tone::Warning, html! { p { (w::VERIFY_SCRIPT.of(lang)) } })) }
        div id="verifier" data-policy=(view.policy) data-bundle=[bundles.as_deref()] {
            @if !view.bundles.is_empty() { p { button class="button" type="button" id="lancer" { (w::VERIFY_START.of(lang)) } } }
            div id="verdict" role="status" tabindex="-1" {}
            div hidden {
                @for (name, text) in TEXTS { span id={ "texte-" (name) } { (text.of(lang)) } }
                @for (name, text) in w::PARTS { span id={ "texte-partie-" (name) } { (text.of(lang)) } }
            }
        }
        (own_file(view, lang))
        section aria-labelledby="confiance" {
            h2 id="confiance" { (w::POLICY_HEAD.of(lang)) }
            p { (w::SELF_TRUST.of(lang)) }
            (log_facts(None, &view.log, lang))
            ul class="files" {
                li { a href="/verify.js" download { (w::VERIFIER_FILE.of(lang)) } }
                li { a href=(view.policy) download { (w::POLICY_FILE.of(lang)) } }
            }
        }
    };
    page(chrome, &Content { has_script: true, ..Content::narrow(title, Section::Take, main) })
}

/// A file that somebody has already. Nothing is sent: the form has no action of its own.
fn own_file(view: &VerifyView, lang: Lang) -> Markup {
    let field = |field, label: Both, hint: Both| {
        let labelled = Labelled { field, label: label.of(lang), hint: Some(hint.of(lang)), errors: &[], lang };
        labelled.file()
    };
    let inside = html! {
        div class="own-file" {
            (field("fichier", w::VERIFY_FILES, w::VERIFY_FILES_HINT))
            (field("politique", w::VERIFY_POLICY, w::VERIFY_POLICY_HINT))
            p { button class=(if !view.bundles.is_empty() { "button is-second" } else { "button" }) type="button" id="lancer-fichier" {
                (w::VERIFY_FILE_START.of(lang))
            } }
        }
    };
    html! {
        @if !view.bundles.is_empty() { details { summary { (w::VERIFY_OTHER.of(lang)) } (inside) } } @else { (inside) }
        p class="remark" { (w::LIMIT.of(lang)) }
    }
}
