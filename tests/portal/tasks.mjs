// The five tasks of a patient, on the pages of a running portal of a test log.
//
//   TASKS='{"base": "http://127.0.0.1:7410", …}' node tasks.mjs
//
// Given: `base`; `patient`, as the login for development shows them; `reader`, a professional who read `document`; `newcomer`, the RPPS number of one
// who is to be permitted until `until`; `visit`, the settings of the visit (browser.mjs). One line of JSON is printed for each task: its
// name, and the number under which the decision is on record.

import { visit } from "./browser.mjs";

const given = JSON.parse(process.env.TASKS);
const scripts = given.visit.scripts ?? true;
const done = (task, more = {}) => process.stdout.write(`${JSON.stringify({ task, ...more })}\n`);

/** What holds of every page, in every state that the tasks come by. */
async function sound(patient, name) {
  await patient.shot(name);
  if (!scripts) return;
  await patient.accessible(name);
  await patient.fits(name);
  await patient.operable(name);
}

async function logIn(patient) {
  await patient.open(`${given.base}/`);
  await sound(patient, "bienvenue");
  await patient.choose(/^Se connecter/);
  await patient.reads("Choisir un patient d’essai");
  await sound(patient, "connexion");
  await patient.tick(given.patient);
  await patient.choose("Entrer");
  await patient.reads(`Bonjour ${given.patient}`);
  await sound(patient, "accueil");
}

/** From a filled form over the preview to the record; gives its number. */
async function decides(patient, name) {
  await sound(patient, `${name}-formulaire`);
  await patient.choose("Voir l’effet avant de confirmer");
  await patient.reads("Rien n’est encore enregistré.");
  await patient.reads("Vérifiez avant de confirmer");
  await sound(patient, `${name}-apercu`);
  await patient.choose("Confirmer et enregistrer");
  await patient.reads("C’est enregistré");
  await sound(patient, `${name}-fait`);
  const [, number] = await patient.reads(/Inscription n° ([\d ]+)/);
  return { index: Number(number.replaceAll(" ", "")) };
}

async function findsWhoReadTheReport(patient) {
  await patient.choose("Voir qui a accédé");
  await patient.reads("Qui a accédé ?");
  await patient.reads(given.reader);
  await sound(patient, "trace");
  const event = patient.page.locator("li.event").filter({ hasText: given.reader }).filter({ hasText: /consulté|lu / }).first();
  await patient.choose(/^Pourquoi et preuve/, event);
  await patient.reads("Pourquoi pouvait-il ?");
  await patient.reads("compte rendu");
  await patient.reads("Cette ligne est dans le registre.");
  await sound(patient, "ligne");
  done("find", { index: Number(new URL(patient.page.url()).pathname.split("/").pop()) });
}

async function blocksThatPerson(patient) {
  await patient.choose("Bloquer cette personne");
  await patient.reads("Bloquer une personne");
  const number = await decides(patient, "bloquer");
  done("block", number);
}

async function givesADoctorAccessForAMonth(patient) {
  await patient.choose("Mes choix");
  await patient.reads("Vos choix en vigueur");
  await sound(patient, "choix");
  await patient.choose("Autoriser une personne ou un service");
  await patient.reads("Pour combien de temps ?");
  if ((await patient.page.getByLabel("Une personne", { exact: true }).count()) > 0) await patient.tick("Une personne");
  await patient.tick("Une autre personne");
  await patient.fill("Numéro RPPS de cette personne", given.newcomer);
  await patient.tick("Jusqu’à une date");
  await patient.fill("Dernier jour", given.until);
  done("permit", await decides(patient, "autoriser"));
}

async function hidesADocument(patient) {
  await patient.choose("Mes choix");
  await patient.reads("Vos choix en vigueur");
  await patient.choose("Masquer un document");
  await patient.reads("Quels documents ?");
  await patient.tick(given.document);
  done("hide", await decides(patient, "masquer"));
}

async function checksThatNothingIsMissing(patient) {
  await patient.choose("Emporter et vérifier");
  await patient.reads("Votre trace est à vous.");
  await sound(patient, "emporter");
  await patient.choose("Vérifier ma trace");
  await patient.reads("Aucune donnée ne part d’ici.");
  await patient.choose("Lancer la vérification");
  await patient.reads("Rien n’a été retiré ni changé parmi ce qui a été enregistré.");
  await sound(patient, "verifier");
  done("check");
}

await visit(given.visit, async (patient) => {
  await logIn(patient);
  await findsWhoReadTheReport(patient);
  await blocksThatPerson(patient);
  await givesADoctorAccessForAMonth(patient);
  await hidesADocument(patient);
  if (scripts) await checksThatNothingIsMissing(patient);
  await patient.choose("Se déconnecter");
  await patient.reads("Vous êtes déconnecté");
  done("leave");
});
