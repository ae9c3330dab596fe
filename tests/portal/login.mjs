// One login at the provider of `provider.mjs`, through the pages of a portal: from the first page there and back.
//
//   LOGIN='{"base": "http://127.0.0.1:7410", "account": "zoe", "acr": "eidas2", "reads": ["Bonjour"], "never": ["2 79 03"]}' node login.mjs
//
// Without an account, the person stops at the provider. `reads`: what the page says at the end. `never`: what stands in no address.

import assert from "node:assert/strict";
import { visit } from "./browser.mjs";

const given = JSON.parse(process.env.LOGIN);

await visit({}, async (patient) => {
  await patient.open(`${given.base}/`);
  await patient.choose(/^Se connecter/);
  await patient.reads("Connexion de démonstration");
  if (given.account) {
    await patient.page.getByLabel("Compte").selectOption(given.account);
    await patient.fill("Niveau", given.acr);
    await patient.choose("Continuer");
  } else await patient.choose("Annuler");
  for (const text of given.reads) await patient.reads(text);
  await patient.accessible();
  for (const text of given.never) {
    assert.deepEqual(patient.requests.filter((url) => decodeURIComponent(url).includes(text)), [], "an address names the person");
  }
});
