//! Pages in a few lines, for what has no page of its own yet.

use axum::http::StatusCode;
use maud::{DOCTYPE, Markup, html};
use sillage_client::ClientError;
use sillage_client::error::Code;
use sillage_words::Lang;
use sillage_words::words::pick;

use crate::web::answer::{self, Answer};

/// What a short page says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// The login didn't come to its end.
    LoginAnew,
    /// Too many at once.
    Busy,
    /// No such page.
    NotFound,
    /// The log can't be reached.
    Away,
    /// The log said no.
    Refused,
    /// An error of ours.
    Internal,
}

/// What an error is, in a word for a line of a log: never what it says, which may name somebody.
pub fn kind_of(error: &ClientError) -> String {
    match error {
        ClientError::Rejected(rejection) => rejection.code.to_string(),
        ClientError::Unavailable(_) => "unavailable".to_owned(),
        ClientError::Quota(_) => "quota".to_owned(),
        ClientError::Check(_) => "check failed".to_owned(),
        ClientError::Usage(_) | ClientError::PolicyRequired | ClientError::Proposed(_) => "usage".to_owned(),
        ClientError::File { .. } => "file".to_owned(),
    }
}

/// How an error is answered.
pub fn of_error(error: &ClientError) -> (StatusCode, Said) {
    match error {
        ClientError::Unavailable(_) | ClientError::Quota(_) => (StatusCode::SERVICE_UNAVAILABLE, Said::Away),
        ClientError::Rejected(rejection) if rejection.code == Code::InvalidIns => {
            (StatusCode::BAD_REQUEST, Said::LoginAnew)
        }
        ClientError::Rejected(_) => (StatusCode::UNPROCESSABLE_ENTITY, Said::Refused),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, Said::Internal),
    }
}

/// A page of one title and a few lines.
pub fn bare(lang: Lang, title: &str, inside: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang=(lang.as_str()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                link rel="stylesheet" href="/style.css";
            }
            body { main { h1 { (title) } (inside) } }
        }
    }
}

/// A page that says one thing, and leads back.
pub fn said(said: Said, lang: Lang, back: &str) -> Markup {
    let (title, line) = match said {
        Said::LoginAnew => (
            pick(lang, "La connexion n'a pas abouti", "The login did not work"),
            pick(lang, "Recommencez depuis la première page.", "Begin again from the first page."),
        ),
        Said::Busy => (
            pick(lang, "Trop de demandes en ce moment", "Too many requests at this moment"),
            pick(lang, "Revenez dans une minute.", "Come back in a minute."),
        ),
        Said::NotFound => (
            pick(lang, "Cette page n'existe pas", "There is no such page"),
            pick(
                lang,
                "Vérifiez l'adresse, ou revenez à la première page.",
                "Check the address, or go back to the first page.",
            ),
        ),
        Said::Away => (
            pick(lang, "Le registre ne répond pas en ce moment", "The log does not answer at this moment"),
            pick(
                lang,
                "Rien n'est perdu. Revenez dans quelques minutes.",
                "Nothing is lost. Come back in a few minutes.",
            ),
        ),
        Said::Refused => (
            pick(lang, "Le registre a refusé", "The log refused"),
            pick(lang, "Rien n'a été inscrit.", "Nothing was recorded."),
        ),
        Said::Internal => (
            pick(lang, "Une erreur est survenue de notre côté", "An error of ours"),
            pick(lang, "Réessayez plus tard.", "Try again later."),
        ),
    };
    bare(lang, title, html! { p { (line) } p { a href=(back) { (pick(lang, "Première page", "First page")) } } })
}

/// The style of these pages.
pub fn style() -> Answer {
    answer::asset(
        "text/css; charset=utf-8",
        "body{font-family:system-ui;max-width:44rem;margin:2rem auto;padding:0 1rem}",
    )
}

/// A trace, plainly.
pub fn trace(view: &crate::view::trace::TraceView, lang: Lang) -> Markup {
    bare(
        lang,
        pick(lang, "Qui a accédé ?", "Who accessed?"),
        html! {
            @for day in &view.days {
                h2 { (day.date) }
                @for episode in &day.episodes {
                    @for line in &episode.lines {
                        p { a href={ "/trace/" (line.index) } { (line.time) } " " @if let Some(who) = &line.who { b { (who.as_str()) } " " } (line.sentence.as_str()) }
                    }
                }
            }
            @if let Some(older) = &view.older { a href=(older) { (pick(lang, "Plus ancien", "Older")) } }
        },
    )
}
