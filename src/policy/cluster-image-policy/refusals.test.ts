import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { clusterImagePolicy, newPem, withAuthority } from '../../testing/foreign-policies.ts'
import { pathText } from '../problem.ts'
import { documentsFromClusterImagePolicy } from './cluster-image-policy.ts'
import { refusalText } from './remarks.ts'

const P256 = newPem()
const WHO = 'identities: [{issuer: https://i.example, subject: s}]'
const ARN = 'arn:aws:kms:eu-west-1:111122223333:alias/release'

function refusalsOf(value: unknown): readonly string[] {
  const { documents, refusals } = documentsFromClusterImagePolicy(value)
  assert.deepEqual(documents, [])
  return refusals.map((refusal) => `${pathText(refusal.path)}: ${refusalText(refusal)}`)
}

describe('what is refused, and what to write', () => {
  const cases: readonly (readonly [name: string, value: unknown, refusal: RegExp])[] = [
    ['another kind', { apiVersion: 'policy.sigstore.dev/v1beta1', kind: 'Pod' }, /^kind: found "Pod"/],
    [
      'a TrustRoot',
      { apiVersion: 'policy.sigstore.dev/v1alpha1', kind: 'TrustRoot' },
      /^kind: .*trust\.roots/,
    ],
    ['another version', clusterImagePolicy('{}', 'policy.sigstore.dev/v2'), /^apiVersion: .*v1alpha1/],
    ['no mapping', [], /^: found a list, expected a mapping/],
    ['an unknown field', clusterImagePolicy('{image: []}'), /^spec\.image: .*did you mean images/],
    [
      'no images',
      clusterImagePolicy('{authorities: [{static: {action: pass}}]}'),
      /^spec\.images: found none/,
    ],
    [
      'no authorities',
      clusterImagePolicy('{images: [{glob: "**"}]}'),
      /^spec\.authorities: found none, so that nothing/,
    ],
    [
      'match',
      clusterImagePolicy('{match: [{resource: pods}]}'),
      /^spec\.match: .*Kubernetes resources.*rings/,
    ],
    [
      'another mode',
      clusterImagePolicy('{mode: audit}'),
      /^spec\.mode: found "audit"; write enforce or warn/,
    ],
    ['a mode that is no text', clusterImagePolicy('{mode: true}'), /^spec\.mode: found a boolean/],
    [
      'a glob of a tag',
      clusterImagePolicy('{images: [{glob: "ghcr.io/a/b:v1"}]}'),
      /^spec\.images\[0\]\.glob: .*write ghcr\.io\/a\/b/,
    ],
    [
      'a policy of the document',
      clusterImagePolicy(
        '{images: [{glob: "**"}], authorities: [{name: one, static: {action: pass}}, {name: two, static: {action: pass}}], policy: {type: cue, data: "authorityMatches: {one: {}, two: {}}"}}',
      ),
      /^spec\.policy\.data: .*require.*\{all: \[one, two\]\}/,
    ],
    [
      'its sources',
      clusterImagePolicy('{policy: {type: cue, fetchConfigFile: true, configMapRef: {name: a}}}'),
      /^spec\.policy\.fetchConfigFile: .*keep that check/,
    ],
    [
      'no kind of authority',
      withAuthority('{name: a}'),
      /^spec\.authorities\[0\]: found none of key, keyless and static/,
    ],
    ['two kinds of authority', withAuthority('{key: {}, keyless: {}}'), /found key and keyless of/],
    [
      'a source',
      withAuthority(`{keyless: {${WHO}}, source: [{oci: ghcr.io/sigs}]}`),
      /\.source: .*cosign copy/,
    ],
    [
      'a timestamp',
      withAuthority(`{key: {data: ${JSON.stringify(P256)}}, rfc3161timestamp: {trustRootRef: tsa}}`),
      /\.rfc3161timestamp: .*maxAge/,
    ],
    [
      'a certificate authority',
      withAuthority(`{keyless: {ca-cert: {data: x}, ${WHO}}}`),
      /\.ca-cert: .*never admits/,
    ],
    ['no SCT', withAuthority(`{keyless: {insecureIgnoreSCT: true, ${WHO}}}`), /\.insecureIgnoreSCT: /],
    [
      'another instance',
      withAuthority(`{keyless: {url: "https://fulcio.local", ${WHO}}}`),
      /\.keyless\.url: .*--trust-root NAME/,
    ],
    [
      'another log',
      withAuthority(`{key: {data: ${JSON.stringify(P256)}}, ctlog: {url: "https://rekor.local"}}`),
      /\.ctlog\.url: .*--trust-root NAME/,
    ],
    [
      'no log',
      withAuthority(`{keyless: {trustRootRef: own, ${WHO}}}`),
      /looked up in no log.*ctlog\.trustRootRef/,
    ],
    [
      'an empty log',
      withAuthority(`{keyless: {${WHO}}, ctlog: {}}`),
      /\.ctlog: .*looked up in no log.*ctlog\.url/,
    ],
    [
      'two trust roots',
      withAuthority(`{keyless: {trustRootRef: a, ${WHO}}, ctlog: {trustRootRef: b}}`),
      /TrustRoot a with a log of TrustRoot b/,
    ],
    [
      'a trust root of no name',
      withAuthority(`{keyless: {trustRootRef: A_B, ${WHO}}, ctlog: {trustRootRef: A_B}}`),
      /no trust root can have/,
    ],
    [
      'a bundle with a key',
      withAuthority(`{key: {data: ${JSON.stringify(P256)}}, signatureFormat: bundle}`),
      /bundle with a key, which policy-controller never admits/,
    ],
    [
      'a bundle without attestations',
      withAuthority(`{keyless: {${WHO}}, signatureFormat: bundle}`),
      /bundle without attestations/,
    ],
    ['no identities', withAuthority('{keyless: {}}'), /\.identities: found none/],
    [
      'half an identity',
      withAuthority('{keyless: {identities: [{subject: s}]}}'),
      /neither of issuer and issuerRegExp/,
    ],
    [
      'an identity twice',
      withAuthority('{keyless: {identities: [{issuer: i, issuerRegExp: i, subject: s}]}}'),
      /both of issuer and issuerRegExp/,
    ],
    [
      'every subject',
      withAuthority('{keyless: {identities: [{issuer: "https://i.example", subjectRegExp: ".*"}]}}'),
      /everybody with an account/,
    ],
    [
      'every issuer',
      withAuthority('{keyless: {identities: [{issuerRegExp: ".*", subject: s}]}}'),
      /write the issuer/,
    ],
    [
      'a pattern for strangers',
      withAuthority('{keyless: {identities: [{issuer: "https://i.example", subjectRegExp: "^https://"}]}}'),
      /anybody could sign as/,
    ],
    [
      'no pattern',
      withAuthority('{keyless: {identities: [{issuer: "https://i.example", subjectRegExp: "****"}]}}'),
      /no RE2 pattern/,
    ],
    [
      'a pattern in place of a text',
      withAuthority('{keyless: {identities: [{issuer: "https://*", subject: s}]}}'),
      /compared exactly/,
    ],
    ['a secret', withAuthority('{key: {secretRef: {name: a}}}'), /\.secretRef: .*kubectl/],
    ['no key', withAuthority('{key: {}}'), /neither of data and kms/],
    ['two keys', withAuthority(`{key: {data: a, kms: "awskms:///${ARN}"}}`), /both of data and kms/],
    ['a damaged key', withAuthority('{key: {data: ---somedata---}}'), /no PEM block/],
    ['another KMS', withAuthority('{key: {kms: "gcpkms://k"}}'), /AWS KMS only.*key\.pub/],
    ['a KMS key that is no ARN', withAuthority('{key: {kms: "awskms:///alias/a"}}'), /takes ARNs only/],
    [
      'a hash that is none',
      withAuthority(`{key: {data: ${JSON.stringify(P256)}, hashAlgorithm: md5}}`),
      /found "md5", which is none/,
    ],
    [
      'a short hash',
      withAuthority(`{key: {data: ${JSON.stringify(P256)}, hashAlgorithm: sha224}}`),
      /too short/,
    ],
    ['another action', withAuthority('{static: {action: maybe}}'), /write pass or fail/],
    ['static with evidence', withAuthority('{static: {action: pass}, ctlog: {}}'), /ctlog beside static/],
    [
      'no name of an attestation',
      withAuthority(`{keyless: {${WHO}}, attestations: [{predicateType: vuln}]}`),
      /found no name/,
    ],
    ['no type', withAuthority(`{keyless: {${WHO}}, attestations: [{name: a}]}`), /predicateType: found none/],
    [
      'a type that is no URI',
      withAuthority(`{keyless: {${WHO}}, attestations: [{name: a, predicateType: mine}]}`),
      /no URI/,
    ],
    [
      'CUE',
      withAuthority(
        `{keyless: {${WHO}}, attestations: [{name: a, predicateType: vuln, policy: {type: cue, data: "predicate: x: 1"}}]}`,
      ),
      /in CUE, .*expressions: \[\{expression: "statement\.predicate\.x == 1"\}\].*CUE lets it pass/,
    ],
    [
      'Rego',
      withAuthority(
        `{keyless: {${WHO}}, attestations: [{name: a, predicateType: vuln, policy: {type: rego, data: "package sigstore\\nisCompliant { input.predicate.x == 1 }"}}]}`,
      ),
      /in Rego, .*expression: "statement\.predicate\.x == 1"\}\]$/,
    ],
    [
      'Rego that is not derived',
      withAuthority(
        `{keyless: {${WHO}}, attestations: [{name: a, predicateType: vuln, policy: {type: rego, data: "package x"}}]}`,
      ),
      /not derived for you because/,
    ],
    [
      'a policy elsewhere',
      withAuthority(
        `{keyless: {${WHO}}, attestations: [{name: a, predicateType: vuln, policy: {type: cue, remote: {url: "https://x"}}}]}`,
      ),
      /\.remote: .*not fetched/,
    ],
    [
      'a policy in another language',
      withAuthority(
        `{keyless: {${WHO}}, attestations: [{name: a, predicateType: vuln, policy: {type: cel, data: x}}]}`,
      ),
      /cue and rego/,
    ],
    [
      'a policy without a text',
      withAuthority(
        `{keyless: {${WHO}}, attestations: [{name: a, predicateType: vuln, policy: {type: cue}}]}`,
      ),
      /policy: found a policy without a text/,
    ],
    [
      'a policy of the document without a text',
      clusterImagePolicy('{policy: {type: cue}}'),
      /^spec\.policy: found a policy without a text/,
    ],
    ['a list without end', clusterImagePolicy(`{images: [${'{glob: "**"},'.repeat(600)}]}`), /at most 512/],
  ]
  for (const [name, value, refusal] of cases) {
    it(name, () => {
      const refusals = refusalsOf(value)
      assert.ok(
        refusals.some((one) => refusal.test(one)),
        refusals.join('\n'),
      )
    })
  }

  const names = ['Signed', 'a'.repeat(64), 'unmatched']
  for (const name of names) {
    it(`the name ${name.slice(0, 12)}`, () => {
      const value = { ...(withAuthority('{static: {action: pass}}') as object), metadata: { name } }
      assert.match(refusalsOf(value).join('\n'), /^metadata\.name: .*which no policy can be called here/)
    })
  }
})
