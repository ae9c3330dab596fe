// A provider of logins for tests: npm `oidc-provider`, on which FranceConnect v2 is built, with the settings of FranceConnect+.
//
//   node provider.mjs settings.json
//
// The settings: `port`, `client` (its id, its addresses and its public keys), `accounts` (what userinfo says of each). It prints one
// line of JSON once it listens. A test acts as the browser, or a browser is used: the page of a login asks which account and which
// level. `POST /wrong` makes the next answers wrong in one way; `GET /wrong` clears it. Only a test has such a door.

import { readFileSync } from "node:fs";
import { createHash } from "node:crypto";
import * as jose from "jose";
import { Provider } from "oidc-provider";

const settings = JSON.parse(readFileSync(process.argv[2], "utf8"));
const issuer = `http://127.0.0.1:${settings.port}`;
const TRAITS = ["given_name", "family_name", "birthdate", "gender", "birthplace", "birthcountry", "ins", "ins_oid"];

const { privateKey } = await jose.generateKeyPair("ES256", { extractable: true });
const jwk = { ...(await jose.exportJWK(privateKey)), use: "sig", alg: "ES256", kid: "provider-1" };
const stranger = await jose.generateKeyPair("ES256", { extractable: true });
const strangerToOpen = await jose.generateKeyPair("ECDH-ES", { crv: "P-256", extractable: true });

/** What is wrong now; null: nothing. */
let wrong = null;

const account = (id) => settings.accounts.find((known) => known.id === id);

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: settings.client.id,
      redirect_uris: settings.client.redirect_uris,
      post_logout_redirect_uris: settings.client.post_logout_redirect_uris ?? [],
      response_types: ["code"],
      grant_types: ["authorization_code"],
      subject_type: "pairwise",
      token_endpoint_auth_method: "private_key_jwt",
      token_endpoint_auth_signing_alg: "ES256",
      jwks: settings.client.jwks,
      id_token_signed_response_alg: "ES256",
      id_token_encrypted_response_alg: "ECDH-ES",
      id_token_encrypted_response_enc: "A256GCM",
      userinfo_signed_response_alg: "ES256",
      userinfo_encrypted_response_alg: "ECDH-ES",
      userinfo_encrypted_response_enc: "A256GCM",
    },
  ],
  jwks: { keys: [jwk] },
  subjectTypes: ["pairwise"],
  pairwiseIdentifier: (ctx, accountId, client) => createHash("sha256").update(`${client.clientId} ${accountId}`).digest("hex"),
  acrValues: ["eidas2", "eidas3"],
  scopes: ["openid", ...TRAITS],
  claims: { openid: ["sub"], acr: null, amr: null, auth_time: null, ...Object.fromEntries(TRAITS.map((name) => [name, [name]])) },
  conformIdTokenClaims: true,
  responseTypes: ["code"],
  clientAuthMethods: ["private_key_jwt", "client_secret_post"],
  enabledJWA: {
    clientAuthSigningAlgValues: ["ES256"],
    idTokenSigningAlgValues: ["ES256"],
    idTokenEncryptionAlgValues: ["ECDH-ES", "RSA-OAEP"],
    idTokenEncryptionEncValues: ["A256GCM"],
    userinfoSigningAlgValues: ["ES256"],
    userinfoEncryptionAlgValues: ["ECDH-ES", "RSA-OAEP"],
    userinfoEncryptionEncValues: ["A256GCM"],
  },
  features: {
    devInteractions: { enabled: false },
    encryption: { enabled: true },
    jwtUserinfo: { enabled: true },
    rpInitiatedLogout: {
      enabled: true,
      // FranceConnect asks nothing: whoever logs out of a service has said so there.
      logoutSource: (ctx, form) => {
        ctx.body = page("Déconnexion", `${form}<button form="op.logoutForm" name="logout" value="yes">Se déconnecter</button>`);
      },
    },
  },
  pkce: { required: () => true },
  ttl: { AuthorizationCode: 30, AccessToken: 60, IdToken: 60, Interaction: 600, Session: 1800, Grant: 1800 },
  cookies: { keys: ["for tests"] },
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  findAccount: (ctx, id) => account(id) && { accountId: id, claims: () => ({ sub: id, ...account(id).claims }) },
  // Nobody is asked what may be shown: FranceConnect says it before the login.
  loadExistingGrant: async (ctx) => {
    const grant = new ctx.oidc.provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
    grant.addOIDCScope(["openid", ...TRAITS].join(" "));
    await grant.save();
    return grant;
  },
});

const page = (title, body) => `<!doctype html><html lang="fr"><meta charset="utf-8"><title>${title}</title><main><h1>${title}</h1>${body}</main>`;

// Tokens that are wrong are made here, since the provider makes none: its own claims, some of them replaced, signed and encrypted by
// other keys or in other ways.
const issue = provider.IdToken.prototype.issue;
provider.IdToken.prototype.issue = async function issueWrongly(options) {
  if (wrong?.token !== options.use) return issue.call(this, options);
  const now = Math.floor(Date.now() / 1000);
  const payload = await this.payload();
  delete payload.at_hash;
  const claims = { iat: now, exp: now + 60, iss: issuer, aud: this.client.clientId, ...payload, ...wrong.claims };
  const text = Buffer.from(JSON.stringify(claims));
  const header = { alg: "ES256", kid: jwk.kid, ...wrong.header };
  const raw = (part) => Buffer.from(part).toString("base64url");
  let signed;
  if (header.alg === "ES256") {
    signed = await new jose.CompactSign(text).setProtectedHeader(header).sign(wrong.signer === "stranger" ? stranger.privateKey : privateKey);
  } else if (header.alg === "HS256") {
    // The oldest trick: the public key as a shared secret.
    const { d, ...open } = jwk;
    signed = await new jose.CompactSign(text).setProtectedHeader(header).sign(Buffer.from(JSON.stringify(open)));
  } else {
    signed = `${raw(JSON.stringify(header))}.${raw(text)}.`;
  }
  if (wrong.encryption === "none") return signed;
  const mine = settings.client.jwks.keys.find((key) => key.use === "enc");
  const key = wrong.encryption === "stranger" ? strangerToOpen.publicKey : await jose.importJWK(mine, "ECDH-ES");
  const sealed = { alg: "ECDH-ES", enc: wrong.enc ?? "A256GCM", cty: "JWT", kid: mine.kid };
  return new jose.CompactEncrypt(Buffer.from(signed)).setProtectedHeader(sealed).encrypt(key);
};

provider.use(async (ctx, next) => {
  if (ctx.path === "/wrong") {
    if (ctx.method === "GET") wrong = null;
    else {
      const parts = [];
      for await (const part of ctx.req) parts.push(part);
      wrong = JSON.parse(Buffer.concat(parts).toString());
    }
    ctx.body = "";
    ctx.status = 204;
    return;
  }
  if (wrong?.path === ctx.path) {
    if (wrong.answer === "redirect") {
      ctx.status = 307;
      ctx.set("location", `${issuer}/elsewhere`);
      return;
    }
    if (wrong.answer === "oversized") {
      ctx.body = JSON.stringify({ id_token: "x".repeat(1_000_000) });
      ctx.type = "application/json";
      return;
    }
    if (wrong.answer === "silence") {
      await new Promise((done) => setTimeout(done, 20_000));
    }
  }
  if (ctx.path.startsWith("/interaction/")) return interact(ctx);
  await next();
  if (wrong?.document && ctx.path === "/.well-known/openid-configuration") Object.assign(ctx.body, wrong.document);
});

/** The page of a login: which account, and how sure. */
async function interact(ctx) {
  const details = await provider.interactionDetails(ctx.req, ctx.res);
  if (ctx.method === "GET") {
    const asked = details.params.acr_values ?? "eidas3";
    const options = settings.accounts.map(({ id, label }) => `<option value="${id}">${label ?? id}</option>`).join("");
    ctx.type = "text/html; charset=utf-8";
    ctx.body = page(
      "Connexion de démonstration",
      `<form method="post"><p><label>Compte <select name="account">${options}</select></label></p>
       <p><label>Niveau <input name="acr" value="${asked.replace(/[^a-z0-9]/g, "")}"></label></p>
       <p><button name="does" value="login">Continuer</button> <button name="does" value="cancel">Annuler</button></p></form>`,
    );
    return;
  }
  const parts = [];
  for await (const part of ctx.req) parts.push(part);
  const form = new URLSearchParams(Buffer.concat(parts).toString());
  const cancelled = form.get("does") === "cancel";
  const result = cancelled
    ? { error: "access_denied", error_description: "the person stopped" }
    : { login: { accountId: form.get("account"), acr: form.get("acr") ?? "eidas2", amr: ["fc"] } };
  const to = await provider.interactionResult(ctx.req, ctx.res, result, { mergeWithLastSubmission: false });
  ctx.redirect(to);
}

const server = provider.listen(settings.port, "127.0.0.1", () => {
  const { d, ...open } = jwk;
  process.stdout.write(`${JSON.stringify({ issuer, jwks: { keys: [open] } })}\n`);
});
// The test holds the other end of standard input: when it ends, however it ends, so does this.
process.stdin.on("end", () => server.close(() => process.exit(0))).resume();
process.stdin.on("end", () => server.closeAllConnections());
