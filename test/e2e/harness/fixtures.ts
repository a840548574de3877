import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { must } from './process.ts'
import { FIXTURES } from './tools.ts'

/** Real images, built by GitHub Actions with keyless SLSA v0.2 provenance. 1.4.0 is one manifest, the others an index. */
export const FIXTURE_VERSIONS = ['v1.4.0', 'v1.9.0', 'v2.0.0'] as const
export type FixtureVersion = (typeof FIXTURE_VERSIONS)[number]

export const FIXTURE_ISSUER = 'https://token.actions.githubusercontent.com'
export const FIXTURE_PREDICATE = 'https://slsa.dev/provenance/v0.2'
const BUILDER =
  'https://github.com/slsa-framework/slsa-github-generator/.github/workflows/generator_container_slsa3.yml'

/** The builder: who signed the provenance of this version. */
export function fixtureSubject(version: FixtureVersion): string {
  return `${BUILDER}@refs/tags/${version}`
}

export async function fixtureDigest(version: FixtureVersion): Promise<string> {
  return (await readFile(new URL(`${version}.digest`, FIXTURES), 'utf8')).trim()
}

type Descriptor = { readonly annotations: { readonly kind: string } }

/** The layout of one manifest of `layout`, blobs shared: skopeo refuses a layout with two manifests without names. */
async function singleLayout(layout: string, descriptor: Descriptor, into: string): Promise<void> {
  await mkdir(into)
  await symlink(join(layout, 'blobs'), join(into, 'blobs'))
  await writeFile(join(into, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }))
  await writeFile(join(into, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [descriptor] }))
}

/**
 * Pushes one fixture, bytes unchanged, as `host/repository:version`, its attestations as cosign's `sha256-<hex>.att`
 * unless `attested` is false. Returns the image's digest.
 */
export async function pushFixture(
  host: string,
  repository: string,
  version: FixtureVersion,
  { attested = true, workDirectory }: { attested?: boolean; workDirectory: string },
): Promise<string> {
  const layout = fileURLToPath(new URL(version, FIXTURES))
  const index: { manifests: Descriptor[] } = JSON.parse(await readFile(join(layout, 'index.json'), 'utf8'))
  const digest = await fixtureDigest(version)
  const work = await mkdtemp(join(workDirectory, 'layout-'))
  for (const [position, descriptor] of index.manifests.entries()) {
    const isAttestation = descriptor.annotations.kind.endsWith('/atts')
    if (isAttestation && !attested) continue
    const tag = isAttestation ? `${digest.replace(':', '-')}.att` : version
    const single = join(work, String(position))
    await singleLayout(layout, descriptor, single)
    await must({
      command: 'skopeo',
      args: [
        'copy',
        '--all',
        '--preserve-digests',
        '--dest-tls-verify=false',
        `oci:${single}`,
        `docker://${host}/${repository}:${tag}`,
      ],
    })
  }
  await rm(work, { recursive: true })
  return digest
}

/** Digests of config and layers of a version that is a single manifest. */
export async function fixtureLayers(version: 'v1.4.0'): Promise<readonly string[]> {
  const hex = (await fixtureDigest(version)).slice('sha256:'.length)
  const text = await readFile(new URL(`${version}/blobs/sha256/${hex}`, FIXTURES), 'utf8')
  const manifest: { config: { digest: string }; layers: { digest: string }[] } = JSON.parse(text)
  return [manifest.config.digest, ...manifest.layers.map(({ digest }) => digest)]
}
