//! Refusals of XML in French, as [`crate::import::french`], which holds what JSON shares.

/// Sentences of this module.
pub const SENTENCES: &[(&str, &str)] = &[
    (
        "over {} bytes of XML: cut it into several documents",
        "plus de {} octets de XML : coupez-le en plusieurs documents",
    ),
    (
        "over {} bytes of JSON: cut it into several documents",
        "plus de {} octets de JSON : coupez-le en plusieurs documents",
    ),
    ("over {} elements: cut it into several documents", "plus de {} éléments : coupez-le en plusieurs documents"),
    ("over {} levels of elements", "plus de {} niveaux d'éléments"),
    ("over {} attributes", "plus de {} attributs"),
    ("not UTF-8: write the XML in UTF-8", "ce n'est pas de l'UTF-8 : écrivez le XML en UTF-8"),
    ("character {} is none that XML can hold", "XML ne peut pas contenir le caractère {}"),
    ("a reference to a character that XML can't hold", "une référence à un caractère que XML ne peut pas contenir"),
    ("a character that XML can't hold: only JSON can", "un caractère que XML ne peut pas contenir : seul JSON le peut"),
    ("not well-formed: < in an attribute", "mal formé : < dans un attribut"),
    ("not well-formed: a prefix that isn't declared", "mal formé : un préfixe qui n'est pas déclaré"),
    ("not well-formed: {}", "mal formé : {}"),
    ("a second element beside the root", "un deuxième élément à côté de la racine"),
    ("text outside of the root", "du texte hors de la racine"),
    ("no element: this isn't XML", "aucun élément : ce n'est pas du XML"),
    ("the document ends before this element does", "le document finit avant cet élément : il est tronqué"),
    (
        "an entity that XML doesn't have by itself: write the character",
        "une entité que XML n'a pas de lui-même : écrivez le caractère",
    ),
    ("a document type (DOCTYPE): take it out", "un type de document (DOCTYPE) : ôtez-le"),
    ("a processing instruction (<?...?>): take it out", "une instruction de traitement (<?...?>) : ôtez-la"),
    ("a CDATA section: write escaped text instead", "une section CDATA : écrivez du texte échappé"),
    (
        "an XML declaration that isn't the first thing there, or isn't of version 1.0",
        "une déclaration XML qui n'est pas au tout début, ou pas en version 1.0",
    ),
    (
        "{} is an attribute of a namespace that isn't known",
        "{} est un attribut d'un espace de noms qui n'est pas connu : ôtez-le",
    ),
    (
        "{} is no resource that is read as XML: send it as JSON",
        "{} n'est pas une ressource qui est lue en XML : envoyez-la en JSON",
    ),
    (
        "{} is no resource that is written as XML: ask for JSON",
        "{} n'est pas une ressource qui est écrite en XML : demandez du JSON",
    ),
    ("no attribute of this element in FHIR R4", "pas un attribut de cet élément en FHIR R4"),
    ("an empty element: FHIR leaves absent elements out", "un élément vide : FHIR omet les éléments absents"),
    ("an empty value: FHIR leaves absent elements out", "une valeur vide : FHIR omet les éléments absents"),
    ("there twice: this element doesn't repeat", "présent deux fois : cet élément ne se répète pas"),
    ("a second value of {}", "une deuxième valeur de {}"),
    (
        "expected one resource in this element, and nothing beside it",
        "une seule ressource est attendue dans cet élément, et rien à côté",
    ),
    ("a value has no elements in it but extensions", "une valeur ne contient pas d'éléments, sauf des extensions"),
    (
        "expected an element of the namespace http://hl7.org/fhir",
        "un élément de l'espace de noms http://hl7.org/fhir est attendu",
    ),
    (
        "text in an element: FHIR writes values as attributes",
        "du texte dans un élément : FHIR écrit les valeurs en attributs",
    ),
    (
        "expected a div of XHTML, with xmlns=\"http://www.w3.org/1999/xhtml\"",
        "un div de XHTML est attendu, avec xmlns=\"http://www.w3.org/1999/xhtml\"",
    ),
    ("expected a div of XHTML and nothing beside it", "un div de XHTML est attendu, et rien à côté"),
    (
        "a prefix in a narrative: JSON can't hold it; write xmlns on the div instead",
        "un préfixe dans un récit : JSON ne peut pas le contenir ; écrivez xmlns sur le div",
    ),
    ("expected a whole number, {} to 2147483647", "un nombre entier est attendu, de {} à 2147483647"),
    ("a name stands there twice: {}", "un nom y figure deux fois : {}"),
];

#[cfg(test)]
mod tests {
    use super::SENTENCES;

    #[test]
    fn every_sentence_is_there_in_french_with_all_that_it_says() {
        for (english, french) in SENTENCES {
            assert_eq!(english.matches("{}").count(), french.matches("{}").count(), "{english}");
        }
    }
}
