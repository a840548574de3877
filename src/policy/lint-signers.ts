import type { HeldKey } from '../verify/types.ts'
import { keyText } from './describe.ts'
import { identityText, isAnybody } from './identity.ts'
import { containsIdentity } from './implication.ts'
import type { Remark } from './lint-finding.ts'
import { matchesString } from './matcher.ts'
import type { Path } from './problem.ts'
import type { Authority, IdentityMatcher, StringMatcher } from './types.ts'

/** Who may sign, and whether that is anybody in particular. */

/** A key that ends so soon is about to need a successor. */
const SOON_MS = 30 * 86_400_000

/** Names that strangers have at hosts where everybody can have one. */
const STRANGERS = [
  'https://github.com/attacker/x/.github/workflows/release.yml@refs/heads/main',
  'https://github.com/attacker/x',
  'https://github.com/attacker',
  'https://gitlab.com/attacker/x//.gitlab-ci.yml@refs/heads/main',
  'attacker@gmail.com',
  'attacker@example.com',
]

/** Extensions that say who built it, so that they bound an identity as well as a subject does. */
const NAMING: ReadonlySet<string> = new Set([
  'sourceRepositoryURI',
  'sourceRepositoryOwnerURI',
  'sourceRepositoryIdentifier',
  'sourceRepositoryOwnerIdentifier',
  'buildSignerURI',
  'buildConfigURI',
])

/** Extensions that say on what a workflow ran. */
const REF_BINDING: ReadonlySet<string> = new Set(['sourceRepositoryRef', 'githubWorkflowRef', 'buildTrigger'])

/** Ends of a pattern that leave the ref of a workflow open. */
const OPEN_REF = /^(?:refs\/)?\.[*+]\$?$/

export function lintSigner({ name, signer }: Authority, path: Path, now: Date): readonly Remark[] {
  switch (signer.kind) {
    case 'static':
      return []
    case 'key': {
      const at = { name, path: [...path, 'key'] }
      const { keyReference, during, keys } = signer
      const ofAll =
        keyReference === undefined || during === undefined
          ? []
          : windowRemarks({ id: keyReference, until: during.until, hasSuccessor: false }, at, now)
      return ofAll.length > 0 ? ofAll : keys.flatMap((held) => windowRemarks(ending(held, keys), at, now))
    }
    case 'keyless':
      return identityRemarks(name, signer.identities, [...path, 'keyless'])
  }
}

function identityRemarks(
  authority: string,
  identities: readonly IdentityMatcher[],
  path: Path,
): readonly Remark[] {
  return identities.flatMap((identity, index) => {
    const at = { authority, path: [...path, 'identities', index] }
    if (isAnybody(identity)) return [anyIdentity({ authority, path })]
    const wider = identities.find(
      (other, position) =>
        position !== index &&
        containsIdentity(other, identity) &&
        // Of two equal ones the second is the one too many.
        (position < index || !containsIdentity(identity, other)),
    )
    return [
      ...(identity.issuer === undefined ? [anyIssuer(identity, at)] : []),
      ...broadRemarks(identity, at),
      ...(isOpenRef(identity) ? [anyRef(identity, at)] : []),
      ...(wider === undefined ? [] : [contained(identity, wider, at)]),
    ]
  })
}

type Place = { readonly authority: string; readonly path: Path }

function anyIdentity({ authority, path }: Place): Remark {
  return {
    severity: 'warning',
    code: 'any-identity',
    path,
    what: `authority ${authority} accepts whoever has a certificate of its trust root (unsafeAnyIdentity)`,
    why: 'of a public trust root that is everybody with a mail address or a repository',
    mend: 'name issuer and subject of those who may sign',
  }
}

function anyIssuer(identity: IdentityMatcher, { authority, path }: Place): Remark {
  return {
    severity: 'warning',
    code: 'any-issuer',
    path,
    what: `authority ${authority} accepts ${identityText(identity)} from every issuer of its trust root`,
    why: 'two issuers can vouch for the same name, and only one of them knows whose it is',
    mend: 'add the issuer',
  }
}

/** One field that no stranger meets is enough to bound an identity. */
function broadRemarks(identity: IdentityMatcher, { authority, path }: Place): readonly Remark[] {
  const fields = namingFields(identity)
  const strangers = fields.map((field) => strangerTo(field))
  const stranger = strangers.find((found) => found !== undefined)
  if (stranger === undefined || strangers.includes(undefined)) return []
  const remark: Remark = {
    severity: 'warning',
    code: 'broad-pattern',
    path,
    what: `authority ${authority} accepts ${identityText(identity)}, which ${stranger} meets, too`,
    why: 'a stranger can have that name',
    mend: 'write the organisation with the slash or @ that ends it, and the workflow',
  }
  return [remark]
}

function namingFields({ subject, extensions }: IdentityMatcher): readonly StringMatcher[] {
  const named = extensions.flatMap(({ name, matcher }) => (NAMING.has(name) ? [matcher] : []))
  return subject === undefined ? named : [subject, ...named]
}

function strangerTo(matcher: StringMatcher): string | undefined {
  if (matcher.kind === 'exact') return undefined
  return [...STRANGERS, ...neighboursOf(matcher.source)].find((text) => matchesString(matcher, text))
}

/** Names that begin or end like the one that the pattern seems to be about, and that belong to somebody else. */
function neighboursOf(source: string): readonly string[] {
  const example = exampleOf(source)
  const beginning = exampleOf(source.split(WILDCARD, 1)[0] ?? '')
  const [, owner] = /^(https:\/\/[a-z0-9.-]+\/[\w-]+)/.exec(beginning) ?? []
  const ending = exampleOf(source.split(WILDCARD).at(-1) ?? '')
  const [, domain] = /([a-z0-9-]+\.[a-z0-9.-]*[a-z])$/.exec(ending) ?? []
  return [
    ...(owner === undefined ? [] : [`${owner}-attacker${example.slice(owner.length).replace(/^x/, '')}`]),
    ...(domain === undefined ? [] : [`attacker@attacker-${domain}`, `attacker@attacker${domain}`]),
  ]
}

const WILDCARD = /(?:\.|\[[^\]]*\]|\\[dw])[*+]/g

/** A text that the pattern matches, where it is as simple as most are: wildcards filled in, escapes and anchors dropped. */
function exampleOf(source: string): string {
  return source.replaceAll(WILDCARD, 'x').replaceAll(/^\^|\$$|\\/g, '')
}

function isOpenRef({ subject, extensions }: IdentityMatcher): boolean {
  if (subject?.kind !== 'pattern' || extensions.some(({ name }) => REF_BINDING.has(name))) return false
  const { source } = subject
  if (!/github\\?\.com/.test(source)) return false
  const at = source.lastIndexOf('@')
  return at === -1 ? /\.[*+]\$?$/.test(source) : OPEN_REF.test(source.slice(at + 1))
}

function anyRef(identity: IdentityMatcher, { authority, path }: Place): Remark {
  return {
    severity: 'warning',
    code: 'any-ref',
    path,
    what: `authority ${authority} accepts ${identityText(identity)}, whatever the workflow ran on`,
    why: 'whoever can push a branch or open a pull request there can change the workflow and sign',
    mend: 'end the pattern with @refs/tags/… or @refs/heads/main, or add the extension sourceRepositoryRef',
  }
}

function contained(identity: IdentityMatcher, wider: IdentityMatcher, { authority, path }: Place): Remark {
  return {
    severity: 'warning',
    code: 'contained-identity',
    path,
    what: `authority ${authority} names ${identityText(identity)}, whom ${identityText(wider)} already covers`,
    why: 'it has no effect: to drop it stops nobody, and to change it changes nothing',
    mend: 'drop it, or make the other one narrower',
  }
}

type Ending = { readonly id: string; readonly until: Date | undefined; readonly hasSuccessor: boolean }

function ending(held: HeldKey, keys: readonly HeldKey[]): Ending {
  const { key, validUntil: until } = held
  const outlives = ({ validUntil }: HeldKey): boolean =>
    until !== undefined && (validUntil === undefined || validUntil > until)
  return { id: keyText(key.id), until, hasSuccessor: keys.some((other) => other !== held && outlives(other)) }
}

function windowRemarks(
  { id, until, hasSuccessor }: Ending,
  { name, path }: { readonly name: string; readonly path: Path },
  now: Date,
): readonly Remark[] {
  if (until === undefined) return []
  const end = until.toISOString()
  if (until <= now) {
    const remark: Remark = {
      severity: 'warning',
      code: 'expired-key',
      path,
      what: `key ${id} of authority ${name} counts no longer since ${end}`,
      why: 'only signatures with a verified time before that count; a new one does not',
      mend: 'add its successor; drop it once nothing that it signed is in use',
    }
    return [remark]
  }
  if (hasSuccessor || until.getTime() - now.getTime() > SOON_MS) return []
  const remark: Remark = {
    severity: 'warning',
    code: 'expiring-key',
    path,
    what: `key ${id} of authority ${name} ends on ${end}, and no other one goes on after it`,
    why: 'from then on nothing new that is signed for this authority counts',
    mend: 'add the next key now, so that both count for a while',
  }
  return [remark]
}
