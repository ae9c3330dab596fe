//! Refusals of documents in French: the English sentence is the key, `{}` stands for what differs.
//!
//! Beside the code and not in it, so that who reads the code reads one language. A test build refuses a sentence that isn't here
//! ([`super::FhirError`]).

/// Sentences of an import and of what reads its files.
pub const SENTENCES: &[(&str, &str)] = &[
    // Files.
    (
        "a link to a folder isn't followed: name the folder itself",
        "un lien vers un dossier n'est pas suivi : nommez le dossier lui-même",
    ),
    (
        "no file (a pipe, a socket or a device): take it out of the folder",
        "ce n'est pas un fichier (un tube, une prise ou un périphérique) : retirez-le du dossier",
    ),
    (
        "of no kind that is imported: .json, .ndjson, .jsonl, .xml, also with .gz; name the file itself if it is one of them, or take it out of the folder",
        "d'aucune sorte qui est importée : .json, .ndjson, .jsonl, .xml, aussi avec .gz ; nommez le fichier lui-même s'il en est un, ou retirez-le du dossier",
    ),
    ("cannot read the file: {}", "impossible de lire le fichier : {}"),
    ("cannot unpack the file: {}", "impossible de décompresser le fichier : {}"),
    (
        "over {} bytes unpacked: cut it into several files",
        "plus de {} octets une fois décompressé : coupez-le en plusieurs fichiers",
    ),
    ("over {} bytes: cut it into several files", "plus de {} octets : coupez-le en plusieurs fichiers"),
    ("{}: it is cut short or damaged", "{} : il est tronqué ou abîmé"),
    (
        "UTF-16: save it as UTF-8 (`iconv -f UTF-16 -t UTF-8 FILE`)",
        "UTF-16 : enregistrez-le en UTF-8 (`iconv -f UTF-16 -t UTF-8 FICHIER`)",
    ),
    (
        "a JSON array: FHIR has Bundles, or one resource a line (NDJSON): `jq -c '.[]' FILE > FILE.ndjson` makes the lines",
        "un tableau JSON : FHIR a des Bundles, ou une ressource par ligne (NDJSON) : `jq -c '.[]' FICHIER > FICHIER.ndjson` fait les lignes",
    ),
    ("not JSON: {}", "ce n'est pas du JSON : {}"),
    ("not UTF-8", "ce n'est pas de l'UTF-8 : enregistrez le fichier en UTF-8"),
    ("an entry without a resource", "une entrée sans ressource"),
    ("not a JSON object{}", "ce n'est pas un objet JSON{}"),
    ("a name stands there twice{}", "un nom y figure deux fois{}"),
    ("too many levels{}", "trop de niveaux{}"),
    // Any resource.
    ("expected a JSON object", "un objet JSON est attendu"),
    (
        "resourceType {} is not imported: AuditEvent and Consent are",
        "resourceType {} n'est pas importé : AuditEvent et Consent le sont",
    ),
    ("not a FHIR resource: resourceType is missing", "ce n'est pas une ressource FHIR : resourceType manque"),
    (
        "SUBSETTED: a summary or a part of the resource, which may say something else: ask the server for the whole (without _summary and _elements)",
        "SUBSETTED : un résumé ou une partie de la ressource, qui peut dire autre chose : demandez le tout au serveur (sans _summary ni _elements)",
    ),
    (
        "said to be absent: what it would permit or deny isn't known",
        "déclaré absent : ce qui serait permis ou refusé n'est pas connu ; demandez la ressource complète",
    ),
    ("an empty object: FHIR leaves absent elements out", "un objet vide : FHIR omet les éléments absents"),
    ("an empty array: FHIR leaves absent elements out", "un tableau vide : FHIR omet les éléments absents"),
    ("nested too deeply", "imbriqué trop profondément"),
    ("extensions nested too deeply", "extensions imbriquées trop profondément"),
    (
        "a modifierExtension may change the meaning, and this one is not known here",
        "une modifierExtension peut changer le sens, et celle-ci n'est pas connue ici",
    ),
    ("comments are not part of FHIR R4", "les commentaires ne font pas partie de FHIR R4"),
    ("required in FHIR R4 and missing", "exigé par FHIR R4, et absent"),
    ("either a name or a query, not both (sev-1)", "soit un nom, soit une requête, pas les deux (sev-1)"),
    ("exactly one of valueString and valueBase64Binary", "exactement un des deux : valueString ou valueBase64Binary"),
    ("either an attachment or a reference, not both", "soit une pièce jointe, soit une référence, pas les deux"),
    ("either a policy or a policyRule (ppc-1)", "soit une policy, soit une policyRule (ppc-1)"),
    ("{} is not an element of {} in FHIR R4", "{} n'est pas un élément de {} en FHIR R4"),
    ("this element repeats: expected a JSON array", "cet élément se répète : un tableau JSON est attendu"),
    ("expected an object of type {}", "un objet de type {} est attendu"),
    ("expected a resource with its resourceType", "une ressource avec son resourceType est attendue"),
    ("expected an object with id and extension", "un objet avec id et extension est attendu"),
    ("expected an object", "un objet est attendu"),
    ("expected id and extension only", "seuls id et extension sont attendus"),
    ("an extension has one value", "une extension a une seule valeur"),
    (
        "an extension has either a value or extensions (ext-1)",
        "une extension a soit une valeur, soit des extensions (ext-1)",
    ),
    ("one place for each value, null where nothing is said of it", "une place par valeur, null là où rien n'est dit"),
    (
        "neither a value nor an extension: FHIR leaves absent elements out (ele-1)",
        "ni valeur ni extension : FHIR omet les éléments absents (ele-1)",
    ),
    ("expected {}", "attendu : {}"),
    ("true or false", "true ou false"),
    ("a whole number, 0 to 2147483647", "un nombre entier, de 0 à 2147483647"),
    ("a whole number, 1 to 2147483647", "un nombre entier, de 1 à 2147483647"),
    ("a whole number", "un nombre entier"),
    ("a date, such as 2026-03-02", "une date, comme 2026-03-02"),
    ("a time, such as 09:00:00", "une heure, comme 09:00:00"),
    ("a number", "un nombre"),
    ("a JSON string", "une chaîne JSON"),
    ("a value: FHIR leaves empty strings out", "une valeur : FHIR omet les chaînes vides"),
    ("text without control characters", "un texte sans caractères de contrôle"),
    ("an id: 1 to 64 of A-Z a-z 0-9 - .", "un id : 1 à 64 caractères parmi A-Z a-z 0-9 - ."),
    ("a URI without spaces", "un URI sans espaces"),
    (
        "a code: no spaces around it, and one between its words",
        "un code : aucune espace autour, et une seule entre ses mots",
    ),
    ("one of {}", "un de {}"),
    (
        "an instant with seconds and a time zone, such as 2026-03-02T09:00:00Z",
        "un instant avec secondes et fuseau, comme 2026-03-02T09:00:00Z",
    ),
    ("a dateTime, such as 2026-03-02 or 2026-03-02T09:00:00Z", "un dateTime, comme 2026-03-02 ou 2026-03-02T09:00:00Z"),
    ("base64", "du base64"),
    // References and our own export.
    (
        "the Bundle has several resources of this name, and they aren't the same one: which is meant? Give every entry its own fullUrl, and the reference the whole URL",
        "le Bundle a plusieurs ressources de ce nom, qui ne sont pas la même : laquelle est visée ? Donnez à chaque entrée son fullUrl, et à la référence l'URL entière",
    ),
    ("two contained resources have this id", "deux ressources contenues ont cet id"),
    ("a second entry: which one is meant?", "une deuxième fois `entry` : laquelle compte ?"),
    (
        "kept-from-representatives stands there once, with a valueBoolean",
        "kept-from-representatives y figure une fois, avec un valueBoolean",
    ),
    (
        "of a ledger's own export, and without its extension `entry`: whether it is kept from representatives isn't known",
        "de l'export d'un registre, et sans son extension `entry` : on ne sait pas s'il est caché aux représentants",
    ),
    (
        "an extension of a ledger's own export, in a document that isn't one: docs/fhir.md says which are",
        "une extension de l'export d'un registre, dans un document qui n'en est pas un : docs/fhir.md dit lesquels le sont",
    ),
    ("this stands there once, with a valueBoolean", "ceci y figure une fois, avec un valueBoolean"),
    ("legal-basis names no kind that docs/fhir.md lists", "legal-basis ne nomme aucune sorte que docs/fhir.md énumère"),
    // Whose an event is.
    (
        "another patient than the one that the event concerns: of an event that concerns several, each is an entity",
        "un autre patient que celui que l'événement concerne : d'un événement qui en concerne plusieurs, chacun est une entité",
    ),
    (
        "a patient whom nothing names: give entity.what, a reference or an identifier",
        "un patient que rien ne nomme : donnez entity.what, une référence ou un identifiant",
    ),
    (
        "a person, and nothing says whether a patient: give entity.role or the type in entity.what",
        "une personne, et rien ne dit si c'est un patient : donnez entity.role, ou le type dans entity.what",
    ),
    (
        "the query asks about a patient, and no entity names them: add them as an entity",
        "la requête porte sur un patient, et aucune entité ne le nomme : ajoutez-le comme entité",
    ),
    (
        "this speaks of a patient, and nothing names them so that the event could be filed: add them as an entity",
        "ceci parle d'un patient, et rien ne le nomme pour que l'événement puisse être classé : ajoutez-le comme entité",
    ),
    (
        "this speaks of another patient than those whom the event names, who wouldn't have it in their trace: add them as an entity",
        "ceci parle d'un autre patient que ceux que l'événement nomme, qui ne l'aurait pas dans sa trace : ajoutez-le comme entité",
    ),
    (
        "{} has no INS: add it to --patient-map (as this URL, or name the server that the map's `Patient/...` are of with --source), or use --demo-patients on a test log",
        "{} n'a pas d'INS : ajoutez-le à --patient-map (sous cette URL, ou nommez par --source le serveur dont sont les `Patient/...` de la table), ou prenez --demo-patients sur un registre de test",
    ),
    (
        "{} has no INS: add it to --patient-map, or use --demo-patients on a test log",
        "{} n'a pas d'INS : ajoutez-le à --patient-map, ou prenez --demo-patients sur un registre de test",
    ),
    ("this patient", "ce patient"),
    (
        "two different INS of one patient: which one is meant?",
        "deux INS différents d'un même patient : lequel est visé ?",
    ),
    ("no time", "aucun moment : donnez `recorded`"),
    ("a time before 1970", "un moment d'avant 1970"),
    // Identifiers.
    (
        "this isn't an INS: 15 characters, 13 of the number (2A and 2B for Corsica) and 2 of its key",
        "ce n'est pas un INS : 15 caractères, 13 du numéro (2A et 2B pour la Corse) et 2 de sa clé",
    ),
    (
        "the key of this INS (its last two digits) doesn't fit its number: check it for a typing error",
        "la clé de cet INS (ses deux derniers chiffres) ne va pas avec son numéro : cherchez une faute de frappe",
    ),
    (
        "this isn't the OID of an INS: 1.2.250.1.213.1.4.8 (NIR) or 1.2.250.1.213.1.4.9 (NIA)",
        "ce n'est pas l'OID d'un INS : 1.2.250.1.213.1.4.8 (NIR) ou 1.2.250.1.213.1.4.9 (NIA)",
    ),
    (
        "test and demonstration identities (OID .10 and .11) are accepted by test logs only",
        "les identités de test et de démonstration (OID .10 et .11) ne sont admises que par les registres de test",
    ),
    (
        "this isn't an identifier of health professionals: an RPPS number has 11 digits, or 8 and 11 digits",
        "ce n'est pas un identifiant de professionnel de santé : un numéro RPPS a 11 chiffres, ou 8 puis 11 chiffres",
    ),
    (
        "the key of this RPPS number (its last digit) doesn't fit: check it for a typing error",
        "la clé de ce numéro RPPS (son dernier chiffre) ne va pas : cherchez une faute de frappe",
    ),
    ("holds a control character", "contient un caractère de contrôle"),
    ("{} bytes, and at most {}", "{} octets, et au plus {}"),
    ("not a URI, such as {}", "ce n'est pas un URI, comme {}"),
    ("an actor's id is missing, or has spaces around it", "l'identifiant d'un acteur manque, ou a des espaces autour"),
    ("not an actor: a URI, `|` and an id", "ce n'est pas un acteur : un URI, `|` et un identifiant"),
    ("this isn't a FINESS number: 9 characters", "ce n'est pas un numéro FINESS : 9 caractères"),
    (
        "this is neither a SIREN (9 digits) nor a SIRET (14 digits)",
        "ce n'est ni un SIREN (9 chiffres) ni un SIRET (14 chiffres)",
    ),
    (
        "the system isn't a URI in visible ASCII, such as {}, or it is a second spelling of one",
        "le système n'est pas un URI en ASCII visible, comme {}, ou c'en est une deuxième écriture",
    ),
    ("the system isn't a URI, such as {}", "le système n'est pas un URI, comme {}"),
    (
        "the system isn't an OID: numbers without zeros in front, with a dot between two of them and none at the end",
        "le système n'est pas un OID : des nombres sans zéro devant, un point entre deux et aucun à la fin",
    ),
    (
        "this holds a character that nobody sees, or spaces around it: write it without them",
        "ceci contient un caractère que personne ne voit, ou des espaces autour : écrivez-le sans",
    ),
    (
        "this holds a character that looks like another one of ASCII: write the one that is meant",
        "ceci contient un caractère qui ressemble à un autre, d'ASCII : écrivez celui qui est voulu",
    ),
    // Consents.
    (
        "{}: nothing is agreed yet: import it once it is active",
        "{} : rien n'est encore convenu : importez-le quand il sera actif",
    ),
    (
        "{}: the patient didn't agree, so there is nothing that decides; a refusal that decides is an active Consent with a provision of type deny",
        "{} : le patient n'a pas consenti, et rien n'en décide ; un refus qui décide est un Consent actif avec une provision de type deny",
    ),
    (
        "{}: entered in error: it says nothing; if it was imported, revoke its directive",
        "{} : saisi par erreur : il ne dit rien ; s'il a été importé, révoquez sa directive (`sillage consent revoke`)",
    ),
    ("rules that aren't known here may change the meaning", "des règles inconnues ici peuvent changer le sens"),
    (
        "{}: only consents to the use of data (consentscope patient-privacy) are directives",
        "{} : seuls les consentements à l'usage de données (consentscope patient-privacy) sont des directives",
    ),
    (
        "required for a consent to the use of data (ppc-2), and missing",
        "exigé pour un consentement à l'usage de données (ppc-2), et absent",
    ),
    (
        "neither an id nor an identifier: it couldn't be revoked",
        "ni id ni identifiant : il ne pourrait pas être révoqué",
    ),
    ("too long for the id of a directive", "trop long pour l'identifiant d'une directive"),
    (
        "no provision and no policyRule: nothing is permitted or denied",
        "ni provision ni policyRule : rien n'est permis ni refusé",
    ),
    (
        "an exception to an exception: policyRule denies, provision permits, and this is one more",
        "une exception à une exception : policyRule refuse, provision permet, et ceci en est une de plus",
    ),
    (
        "the base policy permits every purpose: a directive permits what it names",
        "la règle de base permet tous les motifs : une directive permet ceux qu'elle nomme",
    ),
    (
        "everything is denied, and the provision has exceptions from a denial of less: what is meant?",
        "tout est refusé, et la provision a des exceptions à un refus de moins : que veut-on dire ?",
    ),
    ("{} directives: at most {} of one Consent", "{} directives : au plus {} par Consent"),
    (
        "a permit under a policy that denies: what is meant?",
        "une autorisation sous une règle qui refuse : que veut-on dire ?",
    ),
    (
        "its codes say different things: is everything permitted, or denied?",
        "ses codes se contredisent : tout est-il permis, ou refusé ?",
    ),
    (
        "only OPTIN, OPTINR, OPTOUT and OPTOUTE of v3-ActCode are known as base policies",
        "seuls OPTIN, OPTINR, OPTOUT et OPTOUTE de v3-ActCode sont connus comme règles de base",
    ),
    (
        "names nobody, and there is no Consent.organization: a permit is never for anyone",
        "ne nomme personne, et il n'y a pas de Consent.organization : une autorisation n'est jamais pour tous",
    ),
    (
        "a directive has exceptions, and these have none: one level at most",
        "une directive a des exceptions, qui n'en ont pas : un seul niveau",
    ),
    (
        "no date: a record says when it was given",
        "aucune date : un enregistrement dit quand le consentement a été donné",
    ),
    (
        "not a collector as docs/fhir.md describes it",
        "ce n'est pas un organisme de recueil comme docs/fhir.md le décrit",
    ),
    (
        "a permit without a purpose is for every purpose: a directive permits the purposes that it names",
        "une autorisation sans motif vaut pour tous : une directive permet les motifs qu'elle nomme",
    ),
    ("neither permit nor deny", "ni permit ni deny"),
    (
        "when the data were made is no condition of a directive",
        "la date des données n'est pas une condition d'une directive",
    ),
    (
        "codes inside of the data are no condition of a directive: class and securityLabel are",
        "les codes dans les données ne sont pas une condition d'une directive : class et securityLabel le sont",
    ),
    (
        "over {} of them: at most so many directives of one Consent",
        "plus de {} : un Consent a au plus autant de directives",
    ),
    ("not a time of the years 1 to 9999", "ce n'est pas un moment des années 1 à 9999"),
    ("ends before it starts", "finit avant de commencer"),
    (
        "the codes of one action say different things: which is permitted? Give each its own action",
        "les codes d'une même action se contredisent : lequel est permis ? Donnez à chacun sa propre action",
    ),
    (
        "{}: a directive names items, not what they have to do with something else",
        "{} : une directive nomme des documents, pas ce qu'ils ont à faire avec autre chose",
    ),
    ("the code {} has no system", "le code {} n'a pas de système"),
    ("{} isn't known here: docs/fhir.md lists the codes", "{} n'est pas connu ici : docs/fhir.md énumère les codes"),
    ("a code here is one line of at most {} bytes", "un code est ici une ligne d'au plus {} octets"),
    (
        "a permit inside a permit that covers it already says nothing: what is meant?",
        "une autorisation dans une autorisation qui la couvre déjà ne dit rien : que veut-on dire ?",
    ),
    (
        "a deny inside a deny that covers it already says nothing: what is meant?",
        "un refus dans un refus qui le couvre déjà ne dit rien : que veut-on dire ?",
    ),
    ("{} exceptions: a directive has at most {}", "{} exceptions : une directive en a au plus {}"),
    // Whom a Consent names.
    (
        "only who receives the data (v3-ParticipationType IRCP, PRCP) can be permitted or denied",
        "seul qui reçoit les données (v3-ParticipationType IRCP, PRCP) peut être autorisé ou refusé",
    ),
    ("nothing says what this refers to: give its type", "rien ne dit à quoi ceci renvoie : donnez son type"),
    ("a {} can't be permitted or denied", "un {} ne peut être ni autorisé ni refusé"),
    (
        "who is in this Group isn't known here: name its members, or contain the Group with them",
        "qui est dans ce Group n'est pas connu ici : nommez ses membres, ou contenez le Group avec eux",
    ),
    (
        "a member of this Group is one for a time only: name the members",
        "un membre de ce Group ne l'est que pour un temps : nommez les membres",
    ),
    ("a Group in a Group: name the members", "un Group dans un Group : nommez les membres"),
    ("neither a reference nor an identifier with its system", "ni référence, ni identifiant avec son système"),
    ("neither a reference nor an identifier", "ni référence, ni identifiant"),
    (
        "what a Consent contains is no item of a record store",
        "ce qu'un Consent contient n'est pas un document d'un entrepôt",
    ),
    (
        "a denial of whom nothing but a reference names would deny nothing: give an identifier with its system (RPPS, FINESS), on the reference or in the resource that it means",
        "un refus à qui n'est nommé que par une référence ne refuserait rien : donnez un identifiant avec son système (RPPS, FINESS), sur la référence ou dans la ressource visée",
    ),
    (
        "what this refers to isn't whole (SUBSETTED, or said to be absent): who is meant isn't known",
        "ce à quoi ceci renvoie n'est pas complet (SUBSETTED, ou déclaré absent) : on ne sait pas qui est visé",
    ),
    ("what this refers to {}: who is meant isn't known", "ce à quoi ceci renvoie {} : on ne sait pas qui est visé"),
    (
        "has a modifierExtension or implicitRules, which may change its meaning",
        "a une modifierExtension ou implicitRules, qui peuvent en changer le sens",
    ),
    ("isn't active", "n'est pas actif"),
    ("has elements of another type than FHIR R4 has there", "a des éléments d'un autre type que FHIR R4 y a"),
    (
        "is a Group of whoever is like this, and not of its members",
        "est un Group de quiconque est ainsi, et non de ses membres",
    ),
    (
        "what this refers to says {}, and a directive permits a professional at a structure: name these alone",
        "ce à quoi ceci renvoie dit {}, et une directive autorise un professionnel dans une structure : nommez ceux-ci seuls",
    ),
    ("this has to be one line of at most {} bytes", "ceci doit être une ligne d'au plus {} octets"),
    ("not a grantee as docs/fhir.md describes it", "ce n'est pas un bénéficiaire comme docs/fhir.md le décrit"),
    // Rules of our own export.
    (
        "a rule is exported while it holds: this one says nothing",
        "une règle est exportée tant qu'elle vaut : celle-ci ne dit rien",
    ),
    ("a rule says who signed it, one of them", "une règle dit qui l'a signée, une seule personne"),
    (
        "a rule of this ledger's own export, and no identifier of the system {}",
        "une règle de l'export de ce registre, et aucun identifiant du système {}",
    ),
    ("a second rule: which one is meant?", "une deuxième règle : laquelle est visée ?"),
    (
        "an identifier of the system {}, and no rule: what it says isn't known",
        "un identifiant du système {}, et aucune règle : on ne sait pas ce qu'il dit",
    ),
    ("there twice", "y figure deux fois"),
    ("an item without an id (valueString)", "un document sans identifiant (valueString)"),
    ("no part of a rule: docs/fhir.md lists them", "ce n'est pas une partie d'une règle : docs/fhir.md les énumère"),
    ("without a valueString, or there twice", "sans valueString, ou deux fois"),
    ("the part kind is missing", "la partie kind manque"),
    ("a directive is a Consent with a provision", "une directive est un Consent avec une provision"),
    (
        "{} doesn't hold until something ends it: such rules alone are carried",
        "{} ne vaut pas jusqu'à ce que quelque chose y mette fin : seules de telles règles sont portées",
    ),
    ("no kind of record has this name", "aucune sorte d'enregistrement n'a ce nom"),
    // What is on record of a Consent.
    (
        "this Consent was deleted on its server, and nothing in this Bundle says whose it was: end what is on record of it with `sillage consent revoke`",
        "ce Consent a été supprimé sur son serveur, et rien dans ce Bundle ne dit de qui il était : mettez fin à ce qui en est inscrit avec `sillage consent revoke`",
    ),
    (
        "another version of this Consent has the same dateTime, and nothing says which is newer: give meta.versionId or meta.lastUpdated, as its server does, or import the newest one alone after `sillage consent revoke`",
        "une autre version de ce Consent a le même dateTime, et rien ne dit laquelle est la plus récente : donnez meta.versionId ou meta.lastUpdated, comme son serveur, ou importez la plus récente seule après `sillage consent revoke`",
    ),
    (
        "a Consent of this id was deleted on its server, and nothing says that this version is newer (meta.versionId, meta.lastUpdated): import the version that is there now, if there is one",
        "un Consent de cet id a été supprimé sur son serveur, et rien ne dit que cette version est plus récente (meta.versionId, meta.lastUpdated) : importez celle qui y est aujourd'hui, s'il y en a une",
    ),
    (
        "a Consent of this id is in force that somebody else collected (organization, performer), or that may be another server's, because nothing names the server of both (fullUrl, --source) and no identifier is the same: if it is the same one, end it first with `sillage consent revoke` and import this one again (--source); if not, give this one another id",
        "un Consent de cet id est en vigueur, que quelqu'un d'autre a recueilli (organization, performer), ou qui est peut-être celui d'un autre serveur, car rien ne nomme le serveur des deux (fullUrl, --source) et aucun identifiant n'est le même : si c'est le même, mettez-y d'abord fin avec `sillage consent revoke` et importez celui-ci à nouveau (--source) ; sinon, donnez-lui un autre id",
    ),
    (
        "given before the version of this Consent that is on record: import the newest one",
        "donné avant la version de ce Consent qui est inscrite : importez la plus récente",
    ),
    (
        "inactive: it permits and denies nothing, and no directive of it is on record that could be ended",
        "inactif : il ne permet ni ne refuse rien, et aucune directive n'en est inscrite à laquelle il pourrait mettre fin",
    ),
    (
        "ended in this log since, by no. {}: an import doesn't bring it back; who wants it again says so anew",
        "depuis, il y a été mis fin dans ce registre, par le n° {} : un import ne le rétablit pas ; qui le veut à nouveau le redit",
    ),
    // What is no access.
    (
        "exported from a ledger's own trace and no access: the Consents beside it carry what decides",
        "exporté de la trace d'un registre, et ce n'est pas un accès : les Consents à côté portent ce qui décide",
    ),
    (
        "an older version of a Consent: the newest one in this history counts",
        "une version plus ancienne d'un Consent : la plus récente de cet historique compte",
    ),
    (
        "its time has passed since it was exported: it decides nothing any more",
        "son temps est passé depuis l'export : elle ne décide plus de rien",
    ),
    ("{}: no entry to import", "{} : aucune entrée à importer"),
    (
        "{}: `{}` names no server, and its document doesn't either (fullUrl): the same name from another server is taken for the same one; name the server with --source URL, or give an identifier",
        "{} : `{}` ne nomme aucun serveur, et son document non plus (fullUrl) : le même nom d'un autre serveur passe pour le même ; nommez le serveur par --source URL, ou donnez un identifiant",
    ),
    (
        "{}: an event of the same source and id, with other content, is on record at no. {}: both are",
        "{} : un événement de la même source et du même id, d'un autre contenu, est inscrit sous le n° {} : les deux le sont",
    ),
    // What the ledger refuses of a rule: what to do.
    (
        "{}: it is kept from representatives, and who imports may not write there: import it as the patient or through a service",
        "{} : il est caché aux représentants, et qui importe ne peut pas y écrire : importez-le en tant que patient ou par un service",
    ),
    (
        "{}: a parent or guardian is registered by the authority (`sillage represent add` with its profile); then import again, for what they signed",
        "{} : un parent ou tuteur est inscrit par l'autorité (`sillage represent add` avec son profil) ; puis importez à nouveau, pour ce qu'il a signé",
    ),
    (
        "{}: the deposit of every item has to be on record here before its embargo",
        "{} : le dépôt de chaque document doit être inscrit ici avant son embargo",
    ),
    (
        "{}: who signed it there may not sign it here, or not any more: let the patient say it again",
        "{} : qui l'a signé là-bas ne peut pas le signer ici, ou ne le peut plus : que le patient le redise",
    ),
    (
        "{}: the patient's own key signed it there: import it with the patient's own profile, or let them say it again",
        "{} : la clé du patient l'a signé là-bas : importez-le avec le profil du patient, ou qu'il le redise",
    ),
    ("as a record: {}", "comme enregistrement : {}"),
];

/// The sentence in French; none where it isn't known. `of_code` says in French what a refusal of the ledger means, whose text
/// begins with its code (`NOT_ENTITLED: ...`), and stands for what isn't known.
pub fn french(english: &str, of_code: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    french_of(&[SENTENCES, crate::xml::sentences::SENTENCES], english, of_code)
}

/// The same of other sentences too, each with its French.
pub fn french_of(
    tables: &[&[(&str, &str)]],
    english: &str,
    of_code: &dyn Fn(&str) -> Option<String>,
) -> Option<String> {
    let all = tables.iter().flat_map(|table| table.iter());
    let said = all.into_iter().find_map(|(key, french)| Some((french, filled(key, english)?)));
    let Some((french, parts)) = said else { return of_code(english) };
    let mut out = String::new();
    let mut parts = parts.into_iter();
    for (at, text) in french.split("{}").enumerate() {
        if at > 0 {
            let part = parts.next().unwrap_or_default();
            out.push_str(&french_of(tables, part, of_code).unwrap_or_else(|| part.to_owned()));
        }
        out.push_str(text);
    }
    Some(out)
}

/// Tells whether a text begins with a code of the ledger.
#[cfg(test)]
pub(super) fn is_coded(text: &str) -> Option<String> {
    let (code, _) = text.split_once(':')?;
    (code.len() > 3 && code.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')).then(String::new)
}

/// The words that stand for each `{}` of a template in a text; none where it isn't one of it. A template that is a placeholder alone fits
/// nothing: there is none.
fn filled<'a>(template: &str, text: &'a str) -> Option<Vec<&'a str>> {
    let mut pieces = template.split("{}");
    let mut rest = text.strip_prefix(pieces.next()?)?;
    let pieces: Vec<&str> = pieces.collect();
    let mut out = Vec::with_capacity(pieces.len());
    for (at, piece) in pieces.iter().enumerate() {
        let end = match at + 1 == pieces.len() {
            true => rest.strip_suffix(piece)?.len(),
            false => rest.find(piece)?,
        };
        out.push(&rest[..end]);
        rest = &rest[end + piece.len()..];
    }
    rest.is_empty().then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sentence_is_there_in_french_with_all_that_it_says() {
        for (english, french) in SENTENCES {
            assert_eq!(english.matches("{}").count(), french.matches("{}").count(), "{english}");
            for word in [" the ", " is ", " isn't ", " of ", " and ", " which "] {
                assert!(!french.contains(word), "{french}");
            }
            for option in english.split([' ', '(', ')', ',']).filter(|word| word.starts_with("--")) {
                assert!(french.contains(option), "{french} doesn't name {option}");
            }
        }
    }

    #[test]
    fn a_sentence_is_said_with_what_it_is_about_and_its_parts_in_french_too() {
        let none = |_: &str| None;
        let said = |text: &str| french(text, &none);
        assert_eq!(
            said("userId is not an element of AuditEvent.agent in FHIR R4").as_deref(),
            Some("userId n'est pas un élément de AuditEvent.agent en FHIR R4")
        );
        assert_eq!(said("expected a whole number").as_deref(), Some("attendu : un nombre entier"));
        assert_eq!(
            said("Patient/1 has no INS: add it to --patient-map, or use --demo-patients on a test log")
                .map(|text| text.contains("Patient/1 n'a pas d'INS")),
            Some(true)
        );
        assert_eq!(
            said("what this refers to isn't active: who is meant isn't known").as_deref(),
            Some("ce à quoi ceci renvoie n'est pas actif : on ne sait pas qui est visé")
        );
        assert_eq!(said("not a sentence of ours"), None);
        let code = |text: &str| text.starts_with("NOT_ENTITLED").then(|| "NOT_ENTITLED : pas le droit".to_owned());
        let told = "NOT_ENTITLED: no: the deposit of every item has to be on record here before its embargo";
        assert_eq!(
            french(told, &code).as_deref(),
            Some("NOT_ENTITLED : pas le droit : le dépôt de chaque document doit être inscrit ici avant son embargo")
        );
        assert_eq!(
            french("as a record: NOT_ENTITLED: no", &code).as_deref(),
            Some("comme enregistrement : NOT_ENTITLED : pas le droit")
        );
    }
}
