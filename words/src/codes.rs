//! The meaning of a refusal's code, and the way out. The code itself never changes with the language: scripts and manuals
//! name it.

use sillage_rules::codes::Code;

/// The meaning of a code, and the way out, in French. In English a refusal says so itself.
pub fn sentence(code: Code) -> &'static str {
    match code {
        Code::MalformedRequest => {
            "La requête n'est pas le message attendu, ou n'a pas les champs de cet appel : corrigez l'appelant."
        }
        Code::InvalidUtf8 => "Un texte n'est pas en UTF-8 : encodez-le en UTF-8 et signez à nouveau.",
        Code::MalformedRecord => {
            "Un enregistrement n'est pas sous sa forme unique, ou un de ses champs est incompréhensible : corrigez le champ nommé."
        }
        Code::UnknownKind => "Aucune sorte d'événement n'a ce nom ou ce numéro : prenez-en une de docs/formats.md §2.",
        Code::KindReserved => {
            "Les enregistrements de cette sorte sont faits par le registre seul : ne les envoyez pas."
        }
        Code::ActorReserved => {
            "L'enregistrement nomme son acteur comme le registre se nomme, lui et ses parties (urn:sillage:author) : nommez le professionnel, la personne ou le logiciel qui a agi."
        }
        Code::RecordTooLarge => {
            "Un enregistrement dépasse 61 440 octets : envoyez moins de l'original, ou moins de documents à la fois."
        }
        Code::EmptyBatch => "Le lot est vide : un lot compte de 1 à 4 096 enregistrements.",
        Code::TooManyRecords => "Le lot compte plus de 4 096 enregistrements : divisez-le.",
        Code::BatchTooLarge => "Le lot dépasse 8 Mio, ou concerne plus de 16 384 documents : divisez-le.",
        Code::InvalidStreamLabel => "Un nom de flux compte de 1 à 64 caractères parmi a-z, 0-9, « . », « _ » et « - ».",
        Code::UnknownKey => {
            "La clé de signature n'est pas inscrite à ce registre : demandez-le à l'autorité, ou vérifiez de quel registre il s'agit."
        }
        Code::RevokedKey => "La clé de signature a été révoquée ou remplacée : signez avec la clé actuelle.",
        Code::BadSignature => {
            "La signature ne correspond pas au message du lot : signez celui de docs/formats.md §3, pour ce registre."
        }
        Code::RootMismatch => {
            "Les enregistrements n'ont pas l'empreinte signée : l'un d'eux a été modifié après la signature, envoyez ce qui a été signé."
        }
        Code::SequenceReused => {
            "Un autre lot porte déjà ce numéro dans le flux : cherchez pourquoi, les deux sont des preuves, puis demandez le prochain numéro à « stream status »."
        }
        Code::OutOfOrder => "Ce lot n'est pas le suivant de son flux : envoyez d'abord celui qui est attendu.",
        Code::TimeAhead => {
            "Un enregistrement dit s'être produit plus de 5 minutes dans l'avenir : réglez l'horloge de l'auteur."
        }
        Code::ClockSkew => {
            "Les horloges des nœuds diffèrent, et personne ne peut dire l'heure : réglez celle qui est fausse, puis envoyez la même requête."
        }
        Code::InvalidIns => "Ce n'est pas un INS : 15 caractères avec sa clé, et son OID (option --oid).",
        Code::TestInsRefused => {
            "Les identités de test ou de démonstration ne sont admises que par les registres de test : donnez l'INS réel du patient."
        }
        Code::InvalidIdentifier => {
            "Ce n'est pas un identifiant du système nommé : corrigez l'identifiant ou le système."
        }
        Code::InvalidSpelling => {
            "Un identifiant ou un mot n'est pas sous son écriture unique, par laquelle il est comparé : écrivez-le comme le dit docs/consent.md."
        }
        Code::TagOutOfRange => "Le patient relève d'un autre registre : envoyez l'enregistrement à celui-là.",
        Code::ActRefused => {
            "L'acte ne s'accorde pas avec ce qui est inscrit : consultez la liste (« keys list »), puis envoyez un acte qui convient."
        }
        Code::SignaturesMissing => {
            "L'enregistrement demande la signature de plusieurs autorités, ou concerne une identité et doit être confirmé par un autre service : « authority propose » ou « identity propose », faites signer les autres, puis envoyez-le."
        }
        Code::LimitReached => {
            "Le service a signé autant d'enregistrements comptés (retraits d'accès, fins d'espaces ou d'appartenances, embargos, autorisations sur une autre parole que celle du patient) qu'il le peut en un jour : cherchez pourquoi, puis attendez demain ou faites changer la limite."
        }
        Code::NotEntitled => {
            "Qui appelle n'a pas ce droit, ou qui agit ne peut pas signer ceci (docs/consent.md) : demandez le rôle à l'autorité, ou le droit au patient."
        }
        Code::NotVouched => {
            "Le service qui signe ne répond pas de la structure, du système d'acteurs ou du fournisseur d'identité nommé : demandez « keys vouching » à l'autorité, ou nommez l'un des siens."
        }
        Code::AuthenticationMissing => {
            "Le patient ou un représentant agit, et rien ne prouve qui il est : donnez sa connexion (--issuer, --method, --eidas-level) ; pour une directive recueillie, --collector et --evidence."
        }
        Code::LoginMalformed => {
            "Un jeton de la connexion n'est pas un jeton signé lisible d'une seule façon : envoyez celui du fournisseur d'identité tel quel, déchiffré, sous forme compacte."
        }
        Code::LoginAlgorithm => {
            "Le jeton est signé d'un algorithme qui n'est pas admis : demandez ES256, RS256 ou EdDSA au fournisseur d'identité."
        }
        Code::LoginIssuer => {
            "Le fournisseur d'identité du jeton n'est pas publié dans ce registre : connectez-vous par un autre, ou demandez à l'autorité de le publier."
        }
        Code::LoginKey => {
            "Le jeton ne nomme aucune clé publiée de son fournisseur : demandez à l'autorité d'en publier les nouvelles clés."
        }
        Code::LoginSignature => {
            "Le fournisseur n'a pas signé ce jeton, ou la clé de la session n'a pas signé cet enregistrement : envoyez le jeton tel quel, et signez avec la clé de la session."
        }
        Code::LoginAudience => {
            "Le jeton a été fait pour un autre service : connectez la personne auprès de celui qui est inscrit ici."
        }
        Code::LoginExpired => "La connexion a expiré : reconnectez la personne.",
        Code::LoginNotYet => "Le jeton n'est pas encore valable : réglez l'horloge, ou attendez.",
        Code::LoginNotBound => {
            "La connexion a été faite pour un autre enregistrement, une autre session ou un autre registre : recommencez-la pour celui-ci."
        }
        Code::LoginSubject => {
            "Quelqu'un d'autre s'est connecté que la personne qui est censée décider : connectez le patient ou son représentant."
        }
        Code::LoginLevel => {
            "L'enregistrement annonce un autre fournisseur, moyen ou niveau que le jeton : dites ce que dit le jeton, ou rien."
        }
        Code::LoginReplayed => {
            "La même décision du même instant est déjà au registre : une volonté s'inscrit une seule fois."
        }
        Code::UnknownReference => {
            "L'enregistrement renvoie à quelque chose qui n'est pas au registre pour ce patient : voyez ce qui y est (« consent list »), et nommez-en un."
        }
        Code::PermitAnyone => {
            "Une autorisation dit à qui elle est donnée, jamais à tous : --professional, --person, --organisation, --profession, --team, --app ou --project."
        }
        Code::ActionsMissing => "Une autorisation dit ce qui est permis : donnez --action, par exemple read,search.",
        Code::UntilMissing => {
            "Ceci ne vaut que pour un temps : dites jusqu'à quand (--until, ou --expires d'un bris de glace)."
        }
        Code::EmptyPeriod => {
            "La période finit quand elle commence, ou avant : donnez une fin (--until, --expires) après son début ; un bris de glace transmis après coup demande le champ « deferred »."
        }
        Code::Attending => "Le médecin traitant ne peut pas être bloqué : déclarez-en d'abord un autre.",
        Code::RepresentationCycle => {
            "Le représentant est lui-même représenté par ce patient : mettez d'abord fin à cette représentation."
        }
        Code::IdTaken => {
            "Une autre de ce patient porte cet identifiant et est en vigueur : choisissez-en un autre (--id), et --supersedes pour la remplacer."
        }
        Code::TooManyDirectives => "Un patient a au plus 2 000 directives en vigueur : retirez-en d'abord.",
        Code::TooManyRules => {
            "Le patient a autant de règles en vigueur qu'il peut en avoir (docs/consent.md) : levez-en ou mettez fin à certaines d'abord."
        }
        Code::UnknownToken => {
            "Un acteur est un URI et un identifiant, comme urn:oid:1.2.250.1.71.4.2.1|10100000001, et un mot n'est pas vide : corrigez celui qui est nommé."
        }
        Code::ReasonMissing => "Qui brise la glace dit dans quel cas et pourquoi : --case et --reason.",
        Code::StaleRequest => {
            "La demande a été signée il y a plus de 5 minutes : signez-en une nouvelle, et réglez l'horloge."
        }
        Code::AsOfAhead => "Le registre n'a pas encore atteint ce moment : demandez-en un qu'il a atteint (--as-of).",
        Code::ItemContradicts => {
            "Ce que la demande dit d'un document n'est pas ce qui a été inscrit à son dépôt : envoyez ce que détient l'entrepôt, ou l'identifiant seul (--items)."
        }
        Code::NoCertificate => "L'appel n'a pas présenté de certificat : appelez avec celui qui est inscrit.",
        Code::UnknownCaller => {
            "Le certificat n'est celui d'aucun service inscrit : demandez à l'autorité de l'inscrire."
        }
        Code::InvalidCursor => "Le curseur n'a pas été donné pour cette demande : recommencez sans --cursor.",
        Code::SizeNotReached => "Le registre n'a pas atteint cette taille : demandez-en une plus petite, ou attendez.",
        Code::UnknownIndex => "Aucune entrée à ce numéro : demandez-en un plus petit que la taille du registre.",
        Code::NotErasable => {
            "Il n'y a pas de tel contenu à effacer : nommez des enregistrements de ce patient, inscrits avant et pas encore effacés, qui ne sont ni en vigueur ni des actes."
        }
        Code::RetentionTooEarly => {
            "Le motif est la durée de conservation et un enregistrement a moins de trois ans : attendez, ou citez l'ordre qui le demande."
        }
        Code::PatientErased => "Ce patient a été effacé : n'inscrivez plus rien sous cette identité.",
        Code::DataKeyGone => "Le lot a été scellé d'une clé abandonnée entre-temps : envoyez le même lot à nouveau.",
        Code::QuotaExceeded => {
            "Le quota d'événements ou d'entrées ouvertes est dépassé : envoyez la même chose après le délai indiqué."
        }
        Code::LookupLimit => "Le quota d'identités à résoudre est dépassé : demandez à nouveau après le délai indiqué.",
        Code::Busy => {
            "Le nœud a plus à faire qu'il ne peut : attendez et envoyez la même requête, ou demandez à un autre nœud."
        }
        Code::ReadOnly => {
            "Rien de nouveau n'est inscrit pour l'instant (disque presque plein, ou copie isolée) : voyez « cluster status », puis envoyez la même requête."
        }
        Code::NotLeader => "Le nœud qui a pris ceci n'est plus le meneur : envoyez la même requête à nouveau.",
        Code::NoLeader => {
            "Aucun meneur n'est élu : réessayez dans une seconde ; si cela dure, démarrez les nœuds qui manquent."
        }
        Code::Unavailable => "Aucun nœud ne répond : vérifiez les adresses et les nœuds, puis envoyez la même requête.",
        Code::Timeout => "La réponse n'est pas venue à temps : demandez à nouveau.",
        Code::OutcomeUnknown => {
            "Le lot est peut-être au registre : envoyez le même à nouveau, il ne sera inscrit qu'une fois."
        }
        Code::Storage => {
            "Le nœud ne peut pas lire ou écrire son disque : utilisez un autre nœud, et voyez le journal de celui-ci."
        }
        Code::Internal => {
            "Le nœud a rencontré un défaut qui lui est propre, rien n'a été inscrit : signalez-le avec son journal."
        }
        Code::Corrupt => {
            "Ce qui est stocké ne correspond pas à ses empreintes, et le nœud a cessé de servir : utilisez un autre nœud, et remplacez celui-ci (« cluster member replace »)."
        }
        Code::PolicyRequired => {
            "Rien ne peut être vérifié sans dire à qui se fier : nommez une politique avec --policy."
        }
        Code::ProofInvalid => {
            "La preuve ne se vérifie pas : ne vous y fiez pas, gardez-la comme preuve et demandez à un autre nœud."
        }
        // A code of a later version: its own sentence is better than none.
        other => other.way_out(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_french_sentence_with_the_way_out() {
        for code in Code::ALL {
            let sentence = sentence(*code);
            assert!(sentence.ends_with('.') && sentence.len() > 30, "{sentence}");
            for english in [" the ", " is ", " of ", " and "] {
                assert!(!sentence.contains(english), "{sentence}");
            }
        }
    }
}
