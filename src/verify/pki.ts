import { EXTENSION_OID_SCT, type X509Certificate } from '@sigstore/core'
import type { TrustMaterial } from '@sigstore/verify'
import { authorityProblem } from './authority.ts'
import { Certificate } from './certificate.ts'
import { readPemBlocks } from './encoding.ts'
import { EvidenceError, quote } from './evidence-error.ts'
import { assertCodeSigning, extensionsOf, onlyNameOf, refuse, subjectIn, unknownName } from './extensions.ts'
import { isSelfIssued, parseCertificates, type Presented } from './leaf.ts'
import { CERTIFICATE_BYTES_MAX, CERTIFICATES_MAX, CHAIN_PEM_LENGTH_MAX } from './limits.ts'
import type { SignerIdentity, TrustRoot } from './types.ts'

/**
 * Certificates of an organisation's own authorities. Who issued the certificate of a signer may come with the signature,
 * so chains are looked for here, within bounds; each that is found goes to @sigstore/verify, which checks it (signatures,
 * names, path lengths, and validity at every verified time) as it checks Fulcio's.
 */

/** Authorities in a chain, the root included: an organisation has two to four. */
const CHAIN_LENGTH_MAX = 8
/** Authorities that were certified by each other, or again, make several chains; any that holds is enough. */
const CHAINS_MAX = 8
/** Issuers that are tried, each by verifying one signature. */
const ISSUER_CHECKS_MAX = 16
/** One of them, with the slowest key that is accepted. */
const ISSUER_CHECK_US = 500

/** How long a search can take at worst, in microseconds. */
export const CHAIN_SEARCH_US = ISSUER_CHECKS_MAX * ISSUER_CHECK_US

const ALL_TIME = { start: new Date(0), end: new Date(8_640_000_000_000_000) }

/** One after the other, from whoever issued the leaf to a root. */
type Chain = readonly Certificate[]

/** What a root of one's own PKI makes of a signature's certificate. */
type PkiSignatory = {
  readonly identity: SignerIdentity
  readonly leaf: Certificate
  /** That of the root, with the chains of this one leaf. */
  readonly material: TrustMaterial
}

/** All configured authorities, roots and intermediates, in the form in which @sigstore/verify holds one. */
export function asMaterial(authorities: readonly X509Certificate[]): TrustMaterial['certificateAuthorities'] {
  return [{ certChain: [...authorities], validFor: ALL_TIME }]
}

function authoritiesOf({ material }: TrustRoot): readonly Certificate[] {
  return material.certificateAuthorities
    .flatMap(({ certChain }) => certChain)
    .filter((certificate) => certificate instanceof Certificate)
}

/** @sigstore/verify looks for SCTs in a copy of the leaf. Here nobody is asked for any, so none can be wrong either. */
class LeafWithoutScts extends Certificate {
  override clone(): X509Certificate {
    const copy = super.clone()
    const { extensions } = copy
    const kept = extensions.filter((extension) => extension.subs[0]?.toOID() !== EXTENSION_OID_SCT)
    extensions.splice(0, extensions.length, ...kept)
    return copy
  }
}

/** Whether by its names the issuer may have issued it: RFC 5280 sections 6.1.3 (a)(4) and 4.2.1.1. */
function isNamedBy(certificate: Certificate, issuer: Certificate): boolean {
  if (!issuer.subject.equals(certificate.issuer)) return false
  const wanted = certificate.extAuthorityKeyID?.keyIdentifier
  const own = issuer.extSubjectKeyID?.keyIdentifier
  return wanted === undefined || own === undefined || own.equals(wanted)
}

/**
 * Chains from the leaf to a configured root: by names and signatures only. No key comes twice, so none runs in a circle.
 * Whoever made the evidence chose what else to supply, hence the bounds.
 */
function chainsOf(leaf: Certificate, configured: Chain, supplied: Chain): readonly Chain[] {
  let checks = 0
  const follow = (below: readonly [Certificate, ...Certificate[]]): readonly Chain[] => {
    const certificate = below.at(-1) ?? leaf
    if (below.length > CHAIN_LENGTH_MAX) return []
    const seen = below.map(({ publicKey }) => publicKey)
    return [...configured, ...supplied]
      .filter((issuer) => isNamedBy(certificate, issuer) && !seen.some((key) => key.equals(issuer.publicKey)))
      .flatMap((issuer) => {
        checks += 1
        if (checks > ISSUER_CHECKS_MAX)
          throw new EvidenceError('malformed', `more than ${ISSUER_CHECKS_MAX} possible issuers`)
        if (!certificate.verify(issuer)) return []
        const chain = [...below.slice(1), issuer]
        const isRoot = isSelfIssued(issuer) && configured.includes(issuer)
        return isRoot && issuer.verify() ? [chain] : follow([...below, issuer])
      })
  }
  return follow([leaf]).slice(0, CHAINS_MAX)
}

function usableChains(
  presented: Presented,
  supplied: readonly Certificate[],
  root: TrustRoot,
): readonly Chain[] {
  const configured = authoritiesOf(root)
  const others = supplied.filter(
    (certificate) => !isSelfIssued(certificate) && !configured.some((one) => one.equals(certificate)),
  )
  const { leaf } = presented
  const chains = chainsOf(leaf, configured, others)
  if (chains.length === 0) {
    const message = `no chain to an authority of trust root ${root.name}, issued by ${quote(leaf.issuerName)}`
    throw new EvidenceError('certificate', message, { foreign: true })
  }
  const judged = chains.map((chain) => ({ chain, problem: chainProblem(chain) }))
  const usable = judged.flatMap(({ chain, problem }) => (problem === undefined ? [chain] : []))
  if (usable.length === 0) throw refuse(judged[0]?.problem ?? 'no usable chain')
  return usable
}

function chainProblem(chain: Chain): string | undefined {
  for (const authority of chain) {
    const problem = authorityProblem(authority)
    if (problem !== undefined) return `${quote(authority.subjectName)} ${problem}`
  }
  return undefined
}

/** Those of a bundle, and those of cosign's chain annotation. */
function suppliedWith({ others }: Presented, chainPem: string | undefined): readonly Certificate[] {
  if (chainPem === undefined) return others
  const blocks = chainPem.length > CHAIN_PEM_LENGTH_MAX ? undefined : readPemBlocks(chainPem)
  if (blocks === undefined || blocks.some(({ label }) => label !== 'CERTIFICATE'))
    throw new EvidenceError('malformed', 'chain annotation holds other than PEM certificates, or too much')
  if (blocks.length > CERTIFICATES_MAX || blocks.some(({ der }) => der.length > CERTIFICATE_BYTES_MAX))
    throw new EvidenceError('malformed', 'chain annotation holds too many or too large certificates')
  if (blocks.length === 0) return others
  const chain = parseCertificates(blocks.map(({ der }) => der))
  return [...others, chain.leaf, ...chain.others]
}

/**
 * Who the certificate says signed: its only alternative name, and by which authority. Reads, does not authenticate.
 * Throws EvidenceError `certificate`.
 */
function identityOf(leaf: Certificate): SignerIdentity {
  const extensions = extensionsOf(leaf)
  assertCodeSigning(leaf, extensions)
  const subject = subjectIn(onlyNameOf(extensions))
  if (subject === undefined) throw unknownName()
  return { ...subject, issuer: leaf.issuerName, extensions: {} }
}

/**
 * Who signed, and what vouches for it below this root. `chainPem` is cosign's chain annotation. Throws EvidenceError, or
 * whatever reading a malformed certificate throws.
 */
export function pkiSignatory(
  presented: Presented,
  chainPem: string | undefined,
  root: TrustRoot,
): PkiSignatory {
  const identity = identityOf(presented.leaf)
  const chains = usableChains(presented, suppliedWith(presented, chainPem), root)
  const certificateAuthorities = chains.flatMap((chain) => asMaterial(chain))
  return {
    identity,
    leaf: new LeafWithoutScts(presented.leaf.root),
    material: { ...root.material, certificateAuthorities },
  }
}
